"""When to look for the next ledger: as soon as it is there, yet with one call or two each."""

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
_WEIGHT: Final = 0.1
# A ledger that is found at the first look may have been there for long: unseen, looks would drift later. So the next
# one is earlier by half as much again as ledgers stray, and after one that came too early by as much as they stray.
# With 200 ledgers: 1.6 calls each and none later than 0.75 s where they come evenly; 1.7 and 0.93 s at 5 to 6 seconds.
# With less of it uneven ledgers were up to 3 s late.
_EARLIER: Final = 0.02
_STRAYS_EARLIER: Final = 1.5


class Pace:
    """Learns the ledgers' interval from when they are seen. No wall clock: ours and the node's may be wrong."""

    def __init__(self, retry: float = LOOK_SECONDS) -> None:
        """`retry`: seconds after a look that came too early."""
        self._retry = retry
        self.interval = _FIRST_GUESS
        self._strays = 0.0
        self._head = 0
        self._seen = asyncio.get_running_loop().time()
        self._moves = 0
        self._looks = 0
        self._early = False
        self._wait = retry

    @property
    def still(self) -> float:
        """Seconds since the head moved."""
        return asyncio.get_running_loop().time() - self._seen

    def seen(self, head: int, asked: float) -> None:
        """Note the newest ledger that an answer named. `asked`: when, so that a slow answer does not make us slower."""
        if head <= self._head:
            self._looks += 1
            return
        # How long the first one was there already is not known: the first sample would be too short.
        if self._moves > 1:
            self._learn((asked - self._seen) / (head - self._head))
        self._moves += 1
        self._head, self._seen, self._wait = head, asked, self._retry
        self._early, self._looks = self._looks == 0, 0

    def seconds(self) -> float:
        """Return how long to wait before the next look."""
        if self._looks == 0:
            if self._moves <= 2:  # noqa: PLR2004 - nothing is learnt yet
                return self._retry
            early = max(_EARLIER * self.interval, _STRAYS_EARLIER * self._strays) if self._early else self._strays
            return max(_LEAST_SECONDS, self.interval - early - self.still)
        if self.still < _LATE_INTERVALS * self.interval:
            return min(self._retry, max(_LEAST_SECONDS, self.interval / 2))
        self._wait = min(_MOST_SECONDS, self._wait * 2)
        return self._wait

    def _learn(self, sample: float) -> None:
        sample = min(sample, _LONGEST_INTERVAL)
        if self._moves == 2:  # noqa: PLR2004 - the second move: too early is mended by the next looks, too late is not
            self.interval = max(_LEAST_SECONDS, sample - self._retry)
            return
        self._strays += (abs(sample - self.interval) - self._strays) * _WEIGHT
        self.interval += (sample - self.interval) * _WEIGHT
