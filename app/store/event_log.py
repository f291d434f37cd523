"""The log, read and pruned."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

from databases import Database
from databases.core import Connection
from sqlalchemy import ColumnElement, Select, and_, case, delete, or_, select, update

from app.core.cursor import Cursor
from app.core.errors import CursorExpired, Unavailable
from app.core.event import Event
from app.core.filter import UNFILTERED, EventFilter
from app.core.ports import Position
from app.store.dialect import UNREACHABLE, Dialect
from app.store.position import position_of
from app.store.readers import readers_of
from app.store.rows import document, texts
from app.store.tables import BLOCK_BITS, block, log_state, stream_events
from app.store.transaction import Transaction

COLUMNS: Final = (
    stream_events.c.id,
    stream_events.c.event,
    stream_events.c.stream_id,
    stream_events.c.sender,
    stream_events.c.recipient,
    stream_events.c.body,
    stream_events.c.contract_id,
    stream_events.c.cause,
    stream_events.c.former_recipient,
    stream_events.c.known_recipient,
)

_RECIPIENTS: Final = (
    stream_events.c.recipient,
    stream_events.c.former_recipient,
    stream_events.c.known_recipient,
)


_BY_BLOCK: Final = frozenset({stream_events.c.stream_id, stream_events.c.sender, stream_events.c.recipient})

_FIRST_SPAN: Final = 2
_LONGEST_SPAN: Final = 1024
"""Blocks of the log that one statement looks at."""


class SqlEventLog:
    """Reads the log; no method holds a transaction when it returns."""

    def __init__(self, database: Database, dialect: Dialect) -> None:
        """`database` is connected by whoever owns it."""
        self._dialect = dialect
        self._readers = readers_of(database, dialect)

    async def position(self) -> Position:
        """Return epoch, head and floor as committed now."""
        return await self._readers.run(lambda connection: position_of(connection, self._dialect))

    async def read(self, after: Cursor, upto: int, wanted: EventFilter, limit: int) -> list[Event]:
        """Return at most `limit` wanted events with `after < seq <= upto`, in order. Raises CursorExpired."""

        async def rows_and_floor(connection: Connection) -> tuple[list[Any], int | None]:
            rows: list[Any] = []
            for start, end in _spans(after.seq, upto, whole=wanted == UNFILTERED):
                rows += await connection.fetch_all(self._page(start, end, wanted, limit - len(rows)))
                if len(rows) == limit:
                    break
            # After the rows: a floor that is still below was below when they were read, so none was missing.
            return rows, await connection.fetch_val(select(log_state.c.floor))

        rows, floor = await self._readers.run(rows_and_floor)
        if floor is None:
            raise Unavailable(UNREACHABLE)
        if floor > after.seq:
            raise CursorExpired("pruned")
        return [event_of(after.epoch, *(row[index] for index in range(len(COLUMNS)))) for row in rows]

    def _page(self, start: int, end: int, wanted: EventFilter, limit: int) -> Select[Any]:
        conditions = _conditions(wanted, self._dialect, _blocks(start, end))
        given = select(*COLUMNS).where(stream_events.c.id > start, stream_events.c.id <= end, *conditions)
        return given.order_by(stream_events.c.id).limit(limit)


def _spans(start: int, end: int, *, whole: bool) -> Iterator[tuple[int, int]]:
    """Divide what follows `start` up to `end`, unless all of it is wanted.

    Who wants nearly everything has his page after the first span, and does not have all that follows sorted for it; for
    who wants nearly nothing, the spans grow.
    """
    if whole:
        yield start, end
        return
    blocks = _FIRST_SPAN
    while start < end:
        last = ((((start + 1) >> BLOCK_BITS) + blocks) << BLOCK_BITS) - 1
        yield start, min(end, last)
        start, blocks = last, min(4 * blocks, _LONGEST_SPAN)


def _blocks(start: int, end: int) -> str:
    return document(list(range((start + 1) >> BLOCK_BITS, (end >> BLOCK_BITS) + 1)))


def event_of(epoch: str, seq: int, name: str, *rest: Any) -> Event:
    """Make an event of a row with `COLUMNS`."""
    stream_id, sender, recipient, body, contract_id, cause, *others = rest
    parties = tuple(filter(None, others))
    return Event.committed(epoch, seq, name, stream_id, sender, recipient, body.encode(), contract_id, cause, parties)


def _conditions(wanted: EventFilter, dialect: Dialect, blocks: str) -> Sequence[ColumnElement[bool]]:
    chosen = (
        ((stream_events.c.stream_id,), wanted.stream_ids),
        ((stream_events.c.sender,), wanted.senders),
        (_RECIPIENTS, wanted.recipients),
        ((stream_events.c.event,), wanted.events),
        ((stream_events.c.sender, *_RECIPIENTS), wanted.participants),
        ((stream_events.c.contract_id,), wanted.contracts),
        ((stream_events.c.cause,), wanted.causes),
    )

    def among(column: ColumnElement[Any], values: str) -> ColumnElement[bool]:
        found = dialect.among(column, values)
        return and_(dialect.among(block, blocks), found) if column in _BY_BLOCK else found

    return [or_(*(among(column, texts(sorted(values))) for column in columns)) for columns, values in chosen if values]


async def prune(transaction: Transaction, *, upto: int, token: str) -> bool:
    """Delete the log up to an id, unless it is another log by now: tells whether it is the one with this token."""
    # Another process may have pruned further meanwhile.
    floor = case((log_state.c.floor < upto, upto), else_=log_state.c.floor)
    moved = update(log_state).where(log_state.c.token == token).values(floor=floor).returning(log_state.c.id)
    if await transaction.fetch_one(moved) is None:
        return False
    await transaction.execute(delete(stream_events).where(stream_events.c.id <= upto))
    return True
