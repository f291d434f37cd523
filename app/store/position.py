"""Where the log stands, as one statement tells."""

from typing import Any, Final

from databases.core import Connection
from sqlalchemy import func, select

from app.core.errors import Unavailable
from app.core.ports import Position
from app.store.dialect import UNREACHABLE, Dialect, epoch_of
from app.store.tables import log_state, stream_events

_HEAD: Final = select(func.max(stream_events.c.id)).scalar_subquery()
POSITION: Final = select(log_state.c.token, log_state.c.floor, _HEAD.label("head"))


async def position_of(connection: Connection, dialect: Dialect) -> Position:
    """Return the log's position as this connection sees it."""
    row = await connection.fetch_one(POSITION)
    return position_in(row, await dialect.history(connection))


def position_in(row: Any, history: str) -> Position:
    """Make a position of a row of `POSITION`; None: the log is not there. Raises Unavailable."""
    if row is None:
        raise Unavailable(UNREACHABLE)
    token, floor, head = row[0], row[1], row[2]
    return Position(epoch_of(token, history), max(head or 0, floor), floor)
