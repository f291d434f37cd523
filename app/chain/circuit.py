"""When a node that failed may be asked again."""

import asyncio
import random
from typing import Final

FIRST_SECONDS: Final = 1.0
MOST_SECONDS: Final = 60.0
_MOST_DOUBLINGS: Final = 16


class Circuit:
    """Opens at each failure, for longer each time, and closes at a success.

    Retry libraries repeat one call; here a choice among nodes is made instead, and the node says how long to wait.
    """

    def __init__(self, first: float = FIRST_SECONDS, most: float = MOST_SECONDS) -> None:
        """`first` and `most`: seconds to wait after one failure, and after many."""
        self._first = first
        self._most = most
        self._until = 0.0
        self.failures = 0

    @property
    def seconds(self) -> float:
        """How long to wait yet."""
        return max(0.0, self._until - asyncio.get_running_loop().time())

    def success(self) -> None:
        """Close."""
        self.failures = 0
        self._until = 0.0

    def failure(self, at_least: float = 0.0) -> None:
        """Open for a doubled time, with jitter, but at least for the seconds that the node asked for."""
        wait = min(self._most, self._first * 2.0 ** min(self.failures, _MOST_DOUBLINGS))
        self.failures += 1
        self._until = asyncio.get_running_loop().time() + max(at_least, wait * random.uniform(0.5, 1.0))  # noqa: S311

    def refuse(self) -> None:
        """Open for the longest time: what was wrong will not be right soon."""
        self.failure(self._most)
