"""The log, read and pruned."""

from collections.abc import Sequence
from typing import Any, Final

from databases import Database
from databases.core import Connection
from sqlalchemy import ColumnElement, case, delete, or_, select, update

from app.core.cursor import Cursor
from app.core.errors import CursorExpired, Unavailable
from app.core.event import Event
from app.core.filter import EventFilter
from app.core.ports import Position
from app.store.dialect import UNREACHABLE, Dialect
from app.store.position import position_of
from app.store.readers import readers_of
from app.store.rows import texts
from app.store.tables import log_state, stream_events
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
        query = (
            select(*COLUMNS)
            .where(stream_events.c.id > after.seq, stream_events.c.id <= upto, *_conditions(wanted, self._dialect))
            .order_by(stream_events.c.id)
            .limit(limit)
        )

        async def rows_and_floor(connection: Connection) -> tuple[list[Any], int | None]:
            rows = await connection.fetch_all(query)
            # After the rows: a floor that is still below was below when they were read, so none was missing.
            return list(rows), await connection.fetch_val(select(log_state.c.floor))

        rows, floor = await self._readers.run(rows_and_floor)
        if floor is None:
            raise Unavailable(UNREACHABLE)
        if floor > after.seq:
            raise CursorExpired("pruned")
        return [event_of(after.epoch, *(row[index] for index in range(len(COLUMNS)))) for row in rows]


def event_of(epoch: str, seq: int, name: str, *rest: Any) -> Event:
    """Make an event of a row with `COLUMNS`."""
    stream_id, sender, recipient, body, contract_id, cause, *others = rest
    parties = tuple(filter(None, others))
    return Event.committed(epoch, seq, name, stream_id, sender, recipient, body.encode(), contract_id, cause, parties)


def _conditions(wanted: EventFilter, dialect: Dialect) -> Sequence[ColumnElement[bool]]:
    chosen = (
        ((stream_events.c.stream_id,), wanted.stream_ids),
        ((stream_events.c.sender,), wanted.senders),
        (_RECIPIENTS, wanted.recipients),
        ((stream_events.c.event,), wanted.events),
        ((stream_events.c.sender, *_RECIPIENTS), wanted.participants),
        ((stream_events.c.contract_id,), wanted.contracts),
        ((stream_events.c.cause,), wanted.causes),
    )
    return [_in_one_of(columns, dialect.values(texts(sorted(values)))) for columns, values in chosen if values]


def _in_one_of(columns: Sequence[ColumnElement[Any]], values: Any) -> ColumnElement[bool]:
    return or_(*(column.in_(values) for column in columns))


async def prune(transaction: Transaction, *, upto: int, token: str) -> bool:
    """Delete the log up to an id, unless it is another log by now: tells whether it is the one with this token."""
    # Another process may have pruned further meanwhile.
    floor = case((log_state.c.floor < upto, upto), else_=log_state.c.floor)
    moved = update(log_state).where(log_state.c.token == token).values(floor=floor).returning(log_state.c.id)
    if await transaction.fetch_one(moved) is None:
        return False
    await transaction.execute(delete(stream_events).where(stream_events.c.id <= upto))
    return True
