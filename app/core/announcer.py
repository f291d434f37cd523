"""What every client is told, one after the other."""

import asyncio
from collections import deque
from collections.abc import Callable, Collection
from typing import Final

import structlog

from app.core.listener import Listener
from app.core.slices import SLICE_SECONDS

_SLICE_CHECK: Final = 16
"""Listeners between two looks at the clock."""

_logger = structlog.stdlib.get_logger(__name__)


class Announcer:
    """Tells all listeners, a slice at a time: to tell 20,000 at once held the event loop for half a second.

    Each hears everything in order. Who comes meanwhile is told of what is out of order when it comes.
    """

    def __init__(self, listeners: Collection[Listener]) -> None:
        """Keep the collection itself: it is looked at again, and has whoever listens then."""
        self._listeners = listeners
        self._under_way: deque[tuple[Callable[[Listener], None], deque[Listener]]] = deque()

    def tell(self, act: Callable[[Listener], None]) -> None:
        """Do this with every listener of now."""
        self._under_way.append((act, deque(self._listeners)))
        if len(self._under_way) == 1:
            self._tell()

    def _tell(self) -> None:
        loop = asyncio.get_running_loop()
        slice_end = loop.time() + SLICE_SECONDS
        while self._under_way:
            act, waiting = self._under_way[0]
            for _ in range(min(_SLICE_CHECK, len(waiting))):
                self._do(act, waiting.popleft())
            if not waiting:
                self._under_way.popleft()
            elif loop.time() >= slice_end:
                loop.call_soon(self._tell)
                return

    def _do(self, act: Callable[[Listener], None], listener: Listener) -> None:
        if listener not in self._listeners:
            return
        try:
            act(listener)
        except Exception:
            _logger.exception("announcement_failed")
            listener.fail()
