"""What follows a place in the log: from the ring, or else from the database."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from app.core.batch import BATCH_BYTES, Batch
from app.core.cursor import Cursor
from app.core.event import Event
from app.core.filter import Wanted
from app.core.hub import Hub
from app.core.ports import EventLog

PAGE_EVENTS: Final = 500
PAGE_BYTES: Final = BATCH_BYTES
"""A page is at most this, and never less than one event: what a client that stops reading costs beside its socket."""


class History:
    """Pages of the log up to the hub's head, for everybody who reads on from a cursor."""

    def __init__(self, hub: Hub, log: EventLog, *, look: Callable[[], None], concurrency: int) -> None:
        """`look` has the hub brought up to the log. `concurrency` caps the reads of the database in a storm."""
        self.hub = hub
        self._log = log
        self._look = look
        self._reads = asyncio.Semaphore(concurrency)

    def recent(self, seq: int, wanted: Wanted) -> Batch | None:
        """Return a page after `seq` from memory, perhaps without events; None if only the database can tell.

        There must be something after `seq`.
        """
        events = self.hub.since(seq, PAGE_EVENTS)
        if events is None:
            return None
        return self.hub.pages.shared(_page(events, wanted, seq, events[-1].seq), wanted)

    async def stored(self, cursor: Cursor, wanted: Wanted) -> Batch:
        """Return a page after the cursor from the database, perhaps without events; no transaction is held after.

        Raises:
            CursorExpired: what follows the cursor is pruned.
            Unavailable: the database cannot be reached.

        """
        upto = self.hub.head
        async with self._reads:
            events = await self._log.read(cursor, upto, wanted.in_log(), PAGE_EVENTS)
        page = _page(events, wanted, cursor.seq, events[-1].seq if len(events) == PAGE_EVENTS else upto)
        # Pages are kept by their places alone: one of a history that was replaced meanwhile is this reader's only.
        return self.hub.pages.shared(page, wanted) if cursor.epoch == self.hub.epoch else page

    async def is_future(self, cursor: Cursor) -> bool:
        """Tell a cursor beyond the log from one that another process, ahead of this one, gave out.

        Raises:
            Unavailable: the database cannot be reached.

        """
        self._look()
        async with self._reads:
            if cursor.seq <= self.hub.head:
                return False
            position = await self._log.position()
        return cursor.seq > position.head


def _page(events: Sequence[Event], wanted: Wanted, start: int, end: int) -> Batch:
    """Choose a page from events that follow `start` and go as far as `end`."""
    page: list[Event] = []
    size = 0
    for event in events:
        if not wanted.matches(event):
            continue
        size += len(event.data)
        if page and size > PAGE_BYTES:
            return Batch(page, start, page[-1].seq)
        page.append(event)
    return Batch(page, start, end)
