"""Which events may go: found by reading, while nobody waits."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any, Final, Protocol, TypeVar

from databases.core import Connection
from sqlalchemy import select

from app.core.clock import timestamp
from app.store.tables import log_state, stream_events

Result = TypeVar("Result")

_PAGE: Final = 1000
_NOTHING: Final = 0


class Read(Protocol):
    """Runs a read in the readers' queue."""

    async def __call__(self, read: Callable[[Connection], Awaitable[Result]], /) -> Result:
        """Return what `read` makes of a connection."""


class Prunable:
    """The oldest events of the log that no setting keeps, page by page.

    Only a prefix of the log goes. What the count keeps is found by counting rows, because ids have holes, and once for
    all pages: later appends only move it on. An event that is dated after `now` has a wrong date, so its neighbours
    decide: it goes when an older id and a later one do.
    """

    def __init__(self, read: Read, *, before: datetime, now: datetime, keep: int) -> None:
        """Events that are older than `before` go, but never the newest `keep`, and never the newest of all."""
        self._read = read
        self._before = timestamp(before)
        self._now = timestamp(now)
        self._keep = max(keep, 1)
        self._scanned = 0
        self._undecided: list[int] = []
        self.token = ""
        """Which log was counted: in another one, nothing of this is true."""

    async def count(self) -> None:
        """Find what the count keeps. Reads as many rows of an index as are kept: about 0.1 s a million."""
        newest_kept = (
            select(stream_events.c.id).order_by(stream_events.c.id.desc()).offset(self._keep - 1).limit(1)
        ).scalar_subquery()
        row: Any = await self._read(lambda at: at.fetch_one(select(log_state.c.token, newest_kept.label("kept"))))
        self.token, self._boundary = row["token"], row["kept"] or _NOTHING

    async def page(self) -> list[int]:
        """Return the next ids that may go, ascending; none at the end."""
        while True:
            query = (
                select(stream_events.c.id, stream_events.c.created_at)
                .where(stream_events.c.id > self._scanned, stream_events.c.id < self._boundary)
                .order_by(stream_events.c.id)
                .limit(_PAGE)
            )
            rows = await self._read(lambda connection, query=query: connection.fetch_all(query))  # type: ignore[misc]
            found = self._judged([(row["id"], row["created_at"]) for row in rows])
            if found or not rows:
                return found

    def _judged(self, rows: list[tuple[int, str]]) -> list[int]:
        found: list[int] = []
        for seq, created_at in rows:
            self._scanned = seq
            if self._before <= created_at <= self._now:
                self._boundary = _NOTHING
                break
            self._undecided.append(seq)
            if created_at < self._before:
                found += self._undecided
                self._undecided = []
        return found
