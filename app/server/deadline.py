"""A time by which something is to be done."""

import asyncio
from collections.abc import Callable


class Deadline:
    """At most one at a time."""

    __slots__ = ("_loop", "_timer")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        """None for now."""
        self._loop = loop
        self._timer: asyncio.TimerHandle | None = None

    def set(self, seconds: float, act: Callable[[], None]) -> None:
        """Act in so many seconds, instead of what was set before."""
        self.cancel()
        self._timer = self._loop.call_later(seconds, act)

    def cancel(self) -> None:
        """Do nothing."""
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()
