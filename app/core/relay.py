"""Keeps the hub equal to the log: the only publisher."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import structlog

from app.core.errors import CursorExpired, Unavailable
from app.core.events import Event, EventFilter
from app.core.hub import Hub
from app.core.outages import Outages
from app.core.ports import Appended, EventLog

DATABASE: Final = "database"
_PAGE: Final = 1000

_logger = structlog.stdlib.get_logger(__name__)


class Relay:
    """Publishes what is committed, in commit order, none left out.

    A writer holds the relay's turn over append and commit, then hands its events over directly. Whatever breaks that
    straight way (a commit whose outcome is unknown, a database that another process writes to as well) is found by
    comparing positions, and mended by reading the log from the hub's head.
    """

    def __init__(self, hub: Hub, log: EventLog, outages: Outages, *, poll_seconds: float) -> None:
        """`poll_seconds` is how often the log is looked at when nothing else says so."""
        self._hub = hub
        self._log = log
        self._outages = outages
        self._poll_seconds = poll_seconds
        self._lock = asyncio.Lock()
        self._nudged = asyncio.Event()
        self._doubtful = False
        self.latency_ms: float | None = None

    async def prime(self, recent: int) -> None:
        """Start the hub at the log's head, with the newest `recent` events in its ring."""
        position = await self._log.position()
        self._hub.rebase(position)
        start = max(position.floor, position.head - recent)
        events: list[Event] = []
        while start < position.head:
            try:
                page = await self._log.read(position.at(start), position.head, EventFilter(), _PAGE)
            except CursorExpired:
                page = []
            if not page:
                return
            events += page
            start = page[-1].seq
        self._hub.rebase(position, events)

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Hold over append, commit and hand-over: the database's own lock alone does not order the publications."""
        async with self._lock:
            try:
                yield
            except BaseException:
                self._doubtful = True
                self._nudged.set()
                raise

    async def hand_over(self, appended: Appended) -> None:
        """Publish what was just committed; the caller holds the turn."""
        if not self._doubtful and appended.after == self._hub.cursor:
            self._hub.publish(appended.events)
            return
        try:
            await self._synchronise()
        except Unavailable:
            self._doubtful = True
            self._nudged.set()

    async def run(self) -> None:
        """Look at the log again and again; tell when it cannot be reached, and when it can again."""
        while True:
            await self._look()
            try:
                async with asyncio.timeout(self._poll_seconds):
                    await self._nudged.wait()
            except TimeoutError:
                pass
            self._nudged.clear()

    async def _look(self) -> None:
        try:
            async with self._lock:
                await self._synchronise()
        except Unavailable as error:
            self.latency_ms = None
            if self._outages.begin(DATABASE, str(error)):
                _logger.warning("database_unreachable", reason=str(error))
            await asyncio.sleep(min(self._poll_seconds, 1.0))
        except Exception:
            self.latency_ms = None
            if self._outages.begin(DATABASE, "the log cannot be read"):
                _logger.exception("relay_failed")
            await asyncio.sleep(min(self._poll_seconds, 1.0))
        else:
            if self._outages.end(DATABASE, "the database can be reached again"):
                _logger.warning("database_recovered")

    async def _synchronise(self) -> None:
        """Publish all that is committed after the hub's head."""
        hub = self._hub
        begun = time.perf_counter()
        position = await self._log.position()
        self.latency_ms = round((time.perf_counter() - begun) * 1000, 2)
        if position.epoch != hub.epoch or position.head < hub.head:
            hub.rebase(position)
        while hub.head < position.head:
            try:
                page = await self._log.read(hub.cursor, position.head, EventFilter(), _PAGE)
            except CursorExpired:
                hub.rebase(position)
                break
            if not page:
                # The log was replaced since its position was read: the next look sees which it is now.
                self._doubtful = True
                return
            hub.publish(page)
            await asyncio.sleep(0)
        self._doubtful = False
