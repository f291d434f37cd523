"""PostgreSQL, through asyncpg."""

import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

import asyncpg
from databases import Database
from databases.core import Connection
from sqlalchemy import JSON, URL, Column, FromClause, any_, cast, column, func, select
from sqlalchemy.sql.elements import ColumnElement

from app.core.errors import Unavailable
from app.core.ports import Tail
from app.store.dialect import Document, parameter
from app.store.libpq import connect_arguments
from app.store.notifications import ElectedTail, NotifyTail
from app.store.postgresql_session import Session, SessionDatabase
from app.store.postgresql_transaction import HISTORY, PostgreSQLTransaction
from app.store.transaction import Transaction

_ELECTION_LOCK: Final = 0x466C7579
"""Key of the advisory lock of who carries the log to the broker: the one after the appends'."""

_CHANNEL: Final = "fluxora"
_TAIL_SECONDS: Final = 3.0
"""What a statement on the tail's connection may take: it sends none but tiny ones."""

_READERS: Final = 4
"""Pool connections that writers leave for reads."""

_DROPPED: Final = (asyncpg.InterfaceError, asyncpg.PostgresConnectionError, OSError)


class PostgreSQL:
    """The PostgreSQL dialect."""

    name = "postgresql"

    def __init__(self, url: URL, *, pool_size: int, timeout: float, schema: str = "public") -> None:
        """`timeout`: seconds that connecting or one statement may take; asyncpg alone would wait for ever."""
        self._session = Session(connect_arguments(url, timeout=timeout), schema=schema, timeout=timeout)
        self._pool_size = pool_size
        self.timeout = timeout
        self._own = secrets.token_hex(4)
        self.concurrent_writers = max(1, pool_size - _READERS)
        self.concurrent_readers = pool_size - self.concurrent_writers

    def connect(self) -> Database:
        """Return a database with a pool that gives up on a silent server."""
        return SessionDatabase("postgresql:///", session=self._session, min_size=1, max_size=self._pool_size)

    def tail(self) -> Tail | None:
        """Return what hears of other processes' appends, on a connection beside the pool; nothing through a pooler."""
        if self._session.pooled:
            return None
        return NotifyTail(self._connect_tail, channel=_CHANNEL, own=self._own)

    def elected_tail(self) -> Tail:
        """Return what hears of all appends while it is the one process that may. Raises Unavailable: no pooler may."""
        if self._session.pooled:
            message = "RELAY_URL needs a direct connection to PostgreSQL: behind a pooler no process can be elected"
            raise Unavailable(message)
        return ElectedTail(self._connect_tail, channel=_CHANNEL, lock=_ELECTION_LOCK)

    async def _connect_tail(self) -> "asyncpg.Connection[asyncpg.Record]":
        arguments = {**self._session.arguments, "command_timeout": min(self.timeout, _TAIL_SECONDS)}
        return await asyncpg.connect(**arguments)

    @asynccontextmanager
    async def transaction(self, connection: Connection) -> AsyncIterator[Transaction]:
        """Open a transaction on the driver's connection: `databases` leaks the pool slot when its COMMIT fails."""
        raw = connection.raw_connection
        await raw.execute(self._session.begin)
        try:
            yield PostgreSQLTransaction(connection, self._session, notify=(_CHANNEL, self._own))
        finally:
            if raw.is_in_transaction():
                # What cannot be rolled back any more is closed by the pool.
                with suppress(*_DROPPED):
                    await raw.execute("ROLLBACK")

    def rows(self, document: Document, columns: Sequence[Column[Any]]) -> FromClause:
        """Return a JSON list of objects as a table."""
        shaped = func.json_to_recordset(_json(document)).table_valued(*(column(c.name, c.type) for c in columns))
        return shaped.render_derived(name="given", with_types=True)

    def values(self, document: Document) -> ColumnElement[Any]:
        """Return texts as a set."""
        return select(func.json_array_elements_text(_json(document)).column_valued("given")).scalar_subquery()

    def among(self, column: ColumnElement[Any], document: Document) -> ColumnElement[bool]:
        """Return a condition on a column. In an OR, `IN (SELECT ...)` scans all of the table."""
        given = func.json_array_elements_text(_json(document)).column_valued("given")
        return column == any_(func.array(select(cast(given, column.type)).scalar_subquery()))

    async def settle(self, connection: Connection) -> None:
        """Autovacuum does."""

    async def numbered(self, connection: Connection) -> int | None:
        """Return what the sequence gave last; None for a user that may not use it, who cannot append either."""
        numbered: int | None = await connection.raw_connection.fetchval(
            """
            SELECT CASE WHEN has_sequence_privilege(sequence, 'USAGE')
                   THEN coalesce(pg_sequence_last_value(sequence), 0) END
              FROM (SELECT pg_get_serial_sequence(quote_ident($1) || '.stream_events', 'id')::regclass) AS l (sequence)
            """,
            self._session.schema,
        )
        return numbered

    async def history(self, connection: Connection) -> str:
        """Return cluster, timeline, database and table: a failover, a restore or a copy changes one of them."""
        told: str = await connection.raw_connection.fetchval(f"SELECT {HISTORY}", self._session.schema)
        return told


def _json(document: Document) -> ColumnElement[Any]:
    return cast(parameter(document), JSON)
