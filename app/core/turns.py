"""Whose turn it is to catch up, when thousands want to at once."""

import asyncio
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Final

import structlog

_SECONDS: Final = 0.002
"""What those who go on in one turn of the event loop should take together."""

_FIRST: Final = 16
_MOST: Final = 128

_logger = structlog.stdlib.get_logger(__name__)


class Turns:
    """Lets a share of those who wait go on in each turn of the event loop, in the order in which they came.

    All at once, 20,000 that a new epoch wakes would hold up everybody else for 0.2 s. How many a turn has is measured:
    a page that many share costs little, one that is encoded first a lot.
    """

    def __init__(self, *, most: int = _MOST) -> None:
        """Begin with a small share; a turn never has more than `most`."""
        self._waiting: deque[Callable[[], object]] = deque()
        self._most = most
        self._share = self._left = min(_FIRST, most)
        self._released = 0
        self._began = 0.0
        self._open = False

    def call(self, act: Callable[[], object]) -> None:
        """Call this now, or when those who came before it had their turn. It should only have a task go on."""
        if self._take():
            act()
        else:
            self._waiting.append(act)

    async def next(self) -> None:
        """Wait for the caller's next turn."""
        if self._take():
            await asyncio.sleep(0)
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(partial(_give, turn))
        await turn

    def _take(self) -> bool:
        """Take one of those that are left of this turn's share."""
        if not self._open:
            self._open = True
            self._left = self._share
            self._released = 0
            asyncio.get_running_loop().call_soon(self._next)
        taken = self._left > 0
        self._left -= taken
        return taken

    def _next(self) -> None:
        loop = asyncio.get_running_loop()
        self._measure(loop.time())
        self._released = min(self._share, len(self._waiting))
        self._open = bool(self._waiting)
        if not self._open:
            return
        # What those who are released do stands between these two calls, and nothing else does.
        loop.call_soon(self._begin)
        for _ in range(self._released):
            _release(self._waiting.popleft())
        self._left = self._share - self._released
        loop.call_soon(self._next)

    def _begin(self) -> None:
        self._began = asyncio.get_running_loop().time()

    def _measure(self, now: float) -> None:
        """Make the share larger or smaller, by what it took."""
        if self._released == 0:
            return
        fitting = int(self._released * _SECONDS / max(now - self._began, 1e-6))
        self._share = max(1, min(fitting, 2 * self._share, self._most))


def _release(act: Callable[[], object]) -> None:
    try:
        act()
    except Exception:
        # Those behind it would wait for ever.
        _logger.exception("turn_failed")


def _give(turn: asyncio.Future[None]) -> None:
    if not turn.done():
        turn.set_result(None)
