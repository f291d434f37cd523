"""The log, read and pruned."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from databases import Database
from databases.core import Connection
from sqlalchemy import ColumnElement, delete, func, or_, select, update

from app.core.clock import timestamp
from app.core.cursor import Cursor
from app.core.errors import CursorExpired, Unavailable
from app.core.event import Event
from app.core.filter import EventFilter
from app.core.ports import Position
from app.store.dialect import UNREACHABLE, Dialect, borrowed, epoch_of, translated
from app.store.tables import log_state, stream_events

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


class SqlEventLog:
    """Reads the log; no method holds a transaction when it returns."""

    def __init__(self, database: Database, dialect: Dialect) -> None:
        """`database` is connected by whoever owns it."""
        self._database = database
        self._dialect = dialect

    async def position(self) -> Position:
        """Return epoch, head and floor as committed now."""
        with translated():
            async with borrowed(self._database) as connection:
                return await position_of(connection, self._dialect)

    async def read(self, after: Cursor, upto: int, wanted: EventFilter, limit: int) -> list[Event]:
        """Return at most `limit` wanted events with `after < seq <= upto`, in order. Raises CursorExpired."""
        query = (
            select(*COLUMNS)
            .where(stream_events.c.id > after.seq, stream_events.c.id <= upto, *_conditions(wanted, self._dialect))
            .order_by(stream_events.c.id)
            .limit(limit)
        )
        with translated():
            async with borrowed(self._database) as connection:
                rows = await connection.fetch_all(query)
                # After the rows: a floor that is still below was below when they were read, so none was missing.
                floor = await connection.fetch_val(select(log_state.c.floor))
        if floor is None:
            raise Unavailable(UNREACHABLE)
        if floor > after.seq:
            raise CursorExpired("pruned")
        return [event_of(after.epoch, *(row[index] for index in range(len(COLUMNS)))) for row in rows]


async def position_of(connection: Connection, dialect: Dialect) -> Position:
    """Return the log's position as this connection sees it."""
    head = select(func.max(stream_events.c.id)).scalar_subquery()
    row = await connection.fetch_one(select(log_state.c.token, log_state.c.floor, head.label("head")))
    if row is None:
        raise Unavailable(UNREACHABLE)
    history = await dialect.history(connection)
    return Position(epoch_of(row["token"], history), max(row["head"] or 0, row["floor"]), row["floor"])


def event_of(epoch: str, seq: int, name: str, *rest: Any) -> Event:
    """Make an event of a row with `COLUMNS`."""
    stream_id, sender, recipient, body, contract_id, cause, *others = rest
    parties = tuple(filter(None, others))
    return Event.committed(epoch, seq, name, stream_id, sender, recipient, body.encode(), contract_id, cause, parties)


def _conditions(wanted: EventFilter, dialect: Dialect) -> Sequence[ColumnElement[bool]]:
    chosen = (
        (stream_events.c.stream_id, wanted.stream_ids),
        (stream_events.c.sender, wanted.senders),
        (stream_events.c.recipient, wanted.recipients),
        (stream_events.c.event, wanted.events),
    )
    conditions: list[ColumnElement[bool]] = [
        column.in_(dialect.values(sorted(values))) for column, values in chosen if values
    ]
    if wanted.participants:
        either = dialect.values(sorted(wanted.participants))
        conditions.append(or_(stream_events.c.sender.in_(either), stream_events.c.recipient.in_(either)))
    return conditions


async def prune_step(connection: Connection, *, before: datetime, keep: int, limit: int) -> int:
    """Delete at most `limit` of the oldest events that are older than `before` and not among the newest `keep`.

    Only a prefix of the log goes, and never its newest event, whose id is the log's head. Returns how many went.
    """
    newest_kept = select(stream_events.c.id).order_by(stream_events.c.id.desc()).offset(max(keep, 1) - 1).limit(1)
    boundary = (await connection.fetch_one(newest_kept) or {"id": 0})["id"]
    oldest = (
        select(stream_events.c.id, stream_events.c.created_at)
        .where(stream_events.c.id < boundary)
        .order_by(stream_events.c.id)
        .limit(limit)
    )
    cutoff = timestamp(before)
    floor = count = 0
    for row in await connection.fetch_all(oldest):
        if row["created_at"] >= cutoff:
            break
        floor, count = row["id"], count + 1
    if count:
        await connection.execute(delete(stream_events).where(stream_events.c.id <= floor))
        await connection.execute(update(log_state).where(log_state.c.floor < floor).values(floor=floor))
    return count
