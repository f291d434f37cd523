"""When to look for the next ledger: as soon as it is there, yet hardly more than one call each."""

import asyncio
from typing import Final

# Between the first look that finds nothing and the next one: an event is in the feed within a second of the node.
LOOK_SECONDS: Final = 0.7
# A ledger late by this many intervals is not just late: the head stands still.
_LATE_INTERVALS: Final = 3.0
_MOST_SECONDS: Final = 15.0
_LEAST_SECONDS: Final = 0.2
_FIRST_GUESS: Final = 5.0
_LONGEST_INTERVAL: Final = 10.0
_WEIGHT: Final = 0.2
# A first look that finds the ledger does not tell for how long it was there: the next one is earlier by this much.
_EARLIER: Final = 0.02


class Pace:
    """Learns the ledgers' interval from when they are seen. No wall clock: ours and the node's may be wrong."""

    def __init__(self, retry: float = LOOK_SECONDS) -> None:
        """`retry`: seconds after a look that came too early."""
        self._retry = retry
        self.interval = _FIRST_GUESS
        self._head = 0
        self._seen = asyncio.get_running_loop().time()
        self._moves = 0
        self._looks = 0
        self._early = False
        self._learnt = False
        self._wait = retry

    @property
    def still(self) -> float:
        """Seconds since the head moved."""
        return asyncio.get_running_loop().time() - self._seen

    def seen(self, head: int) -> None:
        """Note the newest ledger that an answer named."""
        if head <= self._head:
            self._looks += 1
            return
        now = asyncio.get_running_loop().time()
        # How long the first one was there already is not known: the first sample would be too short.
        if self._moves > 1:
            self._learn((now - self._seen) / (head - self._head))
        self._moves += 1
        self._head, self._seen, self._wait = head, now, self._retry
        self._early, self._looks = self._looks == 0, 0

    def seconds(self) -> float:
        """Return how long to wait before the next look."""
        if self._looks == 0:
            if not self._learnt:
                return self._retry
            early = _EARLIER if self._early else 0.0
            return max(_LEAST_SECONDS, self.interval * (1 - early) - self.still)
        if self.still < _LATE_INTERVALS * self.interval:
            return min(self._retry, max(_LEAST_SECONDS, self.interval / 2))
        self._wait = min(_MOST_SECONDS, self._wait * 2)
        return self._wait

    def _learn(self, sample: float) -> None:
        sample = min(sample, _LONGEST_INTERVAL)
        self.interval += (sample - self.interval) * (_WEIGHT if self._learnt else 1.0)
        self._learnt = True
