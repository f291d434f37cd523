"""PostgreSQL, through asyncpg."""

import secrets
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

import asyncpg
import orjson
from databases import Database
from databases.core import Connection
from sqlalchemy import JSON, URL, Column, FromClause, Table, Text, bindparam, cast, column, func, insert, select
from sqlalchemy.sql.elements import ColumnElement

from app.core.errors import Unavailable
from app.core.ports import Tail
from app.store.dialect import Row, Transaction, behind, storable
from app.store.libpq import connect_arguments
from app.store.notifications import ElectedTail, NotifyTail
from app.store.postgresql_session import Session, SessionDatabase

_APPEND_LOCK: Final = 0x466C7578
"""Key of the advisory lock that orders appends: `Flux`."""

_ELECTION_LOCK: Final = 0x466C7579
"""Key of the advisory lock of who carries the log to the broker: the next one."""

_CHANNEL: Final = "fluxora"
_TAIL_SECONDS: Final = 3.0
"""What a statement on the tail's connection may take: it sends none but tiny ones."""

_READERS: Final = 4
"""Pool connections that writers leave for reads."""

_DROPPED: Final = (asyncpg.InterfaceError, asyncpg.PostgresConnectionError, OSError)


class _Transaction:
    def __init__(self, connection: "asyncpg.Connection[asyncpg.Record]") -> None:
        self._connection = connection

    async def commit(self) -> None:
        # COMMIT of a transaction that failed before is a rollback, and no error.
        if await self._connection.execute("COMMIT") != "COMMIT":
            message = "the transaction had failed before its commit"
            raise asyncpg.InterfaceError(message)


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
            yield _Transaction(raw)
        finally:
            if raw.is_in_transaction():
                # What cannot be rolled back any more is closed by the pool.
                with suppress(*_DROPPED):
                    await raw.execute("ROLLBACK")

    def rows(self, document: str, columns: Sequence[Column[Any]]) -> FromClause:
        """Return a JSON list of objects as a table."""
        shaped = func.json_to_recordset(_json(document)).table_valued(*(column(c.name, c.type) for c in columns))
        return shaped.render_derived(name="given", with_types=True)

    def values(self, texts: Iterable[str]) -> ColumnElement[Any]:
        """Return texts as a set."""
        document = orjson.dumps([text for text in texts if storable(text)]).decode()
        return select(func.json_array_elements_text(_json(document)).column_valued("given")).scalar_subquery()

    async def insert(self, connection: Connection, table: Table, rows: Sequence[Row]) -> None:
        """Insert rows by COPY, the least that the server has to parse; through a pooler it would prepare statements."""
        columns = list(rows[0])
        if self._session.pooled:
            given = self.rows(orjson.dumps(rows).decode(), [table.c[name] for name in columns])
            await connection.execute(insert(table).from_select(columns, select(*given.c)).inline())
            return
        records = [tuple(row.values()) for row in rows]
        await connection.raw_connection.copy_records_to_table(
            table.name, schema_name=self._session.schema, records=records, columns=columns
        )

    async def append(self, connection: Connection, table: Table, rows: Sequence[Row], *, after: int) -> Sequence[int]:
        """Draw ids, then insert: COPY returns none. The log's lock is held, so they ascend."""
        # The transaction's search path is the schema.
        draw = "SELECT nextval(pg_get_serial_sequence($1, 'id')) FROM generate_series(1, $2::int)"
        ids = sorted(row[0] for row in await connection.raw_connection.fetch(draw, table.name, len(rows)))
        if ids[0] <= after:
            raise behind(after)
        await self.insert(connection, table, [{"id": each, **row} for each, row in zip(ids, rows, strict=True)])
        return ids

    async def lock_log(self, connection: Connection) -> None:
        """Take the log's advisory lock, and have the commit notify the other processes: one statement for both.

        Commit and rollback give the lock back; only a commit notifies.
        """
        statement = f"SELECT pg_advisory_xact_lock({_APPEND_LOCK}), pg_notify('{_CHANNEL}', '{self._own}')"
        await connection.raw_connection.execute(statement)

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
        """Return cluster, timeline, database and table: a failover, a restore or a copy changes one of them.

        The write-ahead log's file name carries the timeline at once; `pg_control_checkpoint` only after a checkpoint.
        """
        row = await connection.raw_connection.fetchrow(
            """
            SELECT (SELECT system_identifier FROM pg_control_system()) AS cluster,
                   substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8) AS timeline,
                   (SELECT oid FROM pg_database WHERE datname = current_database()) AS database,
                   (quote_ident($1) || '.stream_events')::regclass::oid AS log
            """,
            self._session.schema,
        )
        return "|".join(str(value) for value in row)


def _json(document: str) -> ColumnElement[Any]:
    return cast(bindparam(None, document, type_=Text, unique=True), JSON)
