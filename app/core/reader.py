"""One client's place in the log, and reading on from there."""

import asyncio
from contextlib import suppress
from typing import Final

from app.core.batch import Batch
from app.core.cursor import Cursor
from app.core.errors import CursorExpired, Unavailable
from app.core.filter import Wanted
from app.core.history import History

_RETRY_SECONDS: Final = 1.0


class LogReader:
    """A cursor and a filter. `expired` is why the cursor cannot be served, once that is known."""

    __slots__ = ("_changes", "_history", "_interrupted", "_sleeping", "epoch", "expired", "seq", "wanted")

    def __init__(self, history: History, wanted: Wanted) -> None:
        """Start at the hub's head."""
        self._history = history
        self.epoch, self.seq = history.hub.epoch, history.hub.head
        self.wanted = wanted
        self.expired: str | None = None
        self._changes = 0
        self._interrupted = False
        self._sleeping: asyncio.Event | None = None

    @property
    def current(self) -> bool:
        """Whether the cursor is one of the hub's history, as far as is known."""
        return self.expired is None and self.epoch == self._history.hub.epoch

    @property
    def caught_up(self) -> bool:
        """Whether there is nothing to read."""
        return self.current and self.seq == self._history.hub.head

    def start(self, cursor: str) -> None:
        """Go to a client's cursor; it may be one that cannot be served."""
        self._changes += 1
        try:
            parsed = Cursor.parse(cursor)
        except ValueError:
            self.expired = "malformed"
        else:
            self.expired = None
            self.epoch, self.seq = parsed.epoch, parsed.seq

    def move(self, cursor: Cursor, wanted: Wanted) -> None:
        """Go on from a cursor with a filter. A page that is being read meanwhile is dropped."""
        self._changes += 1
        self.epoch, self.seq, self.wanted = cursor.epoch, cursor.seq, wanted

    def skip(self, seq: int) -> None:
        """Go on to where others saw that nothing is wanted before."""
        self.seq = max(self.seq, seq)

    def interrupt(self) -> None:
        """End a wait: there is something else to do."""
        self._interrupted = True
        if self._sleeping is not None:
            self._sleeping.set()

    async def read(self, *, memory_only: bool) -> Batch | None:
        """Return the next events, and move past them; None if there are none now. Look at `expired` before and after.

        `memory_only`: do not ask the database, nor wait for it.
        """
        self._interrupted = False
        hub = self._history.hub
        if self.seq > hub.head:
            if not memory_only:
                await self._await_head()
            return None
        while self.current and self.seq < hub.head:
            batch, source = self._history.recent(self.seq, self.wanted), "ring"
            if batch is None:
                source = "database"
                if memory_only or (batch := await self._stored()) is None:
                    return None
            self.skip(batch.end)
            hub.measures.pages[source] += 1
            if batch.events:
                hub.measures.delivered[source] += len(batch.events)
                return batch
        return None

    async def _stored(self) -> Batch | None:
        """Read a page from the database; None if that is of no use now."""
        changes = self._changes
        try:
            page = await self._history.stored(Cursor(self.epoch, self.seq), self.wanted)
        except CursorExpired as expired:
            if changes == self._changes:
                self.expired = expired.reason
            return None
        except Unavailable:
            await self._wait()
            return None
        return page if changes == self._changes else None

    async def _await_head(self) -> None:
        """Wait for the hub to come up to the cursor, or find that it is of the future."""
        changes = self._changes
        try:
            future = await self._history.is_future(Cursor(self.epoch, self.seq))
        except Unavailable:
            await self._wait()
            return
        if changes != self._changes:
            return
        if future:
            self.expired = "future"
        elif self.seq > self._history.hub.head:
            with self._history.hub.awaited(self.seq, self.interrupt):
                await self._wait()

    async def _wait(self) -> None:
        """Wait a while, if there is nothing else to do."""
        if self._interrupted:
            return
        self._sleeping = asyncio.Event()
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(_RETRY_SECONDS):
                    await self._sleeping.wait()
        finally:
            self._sleeping = None
