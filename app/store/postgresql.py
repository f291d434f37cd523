"""PostgreSQL, through asyncpg."""

import secrets
import ssl
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import asyncpg
import orjson
from asyncpg.transaction import Transaction
from databases import Database
from databases.core import Connection
from sqlalchemy import JSON, URL, Column, FromClause, Table, Text, bindparam, cast, column, func, select
from sqlalchemy.sql.elements import ColumnElement

from app.core.ports import Tail
from app.store.dialect import Row, storable
from app.store.notifications import ElectedTail, NotifyTail

_APPEND_LOCK: Final = 0x466C7578
"""Key of the advisory lock that orders appends: `Flux`."""

_ELECTION_LOCK: Final = 0x466C7579
"""Key of the advisory lock of who carries the log to the broker: the next one."""

_CHANNEL: Final = "fluxora"
_TAIL_SECONDS: Final = 3.0
"""What a statement on the tail's connection may take: it sends none but tiny ones."""

_READERS: Final = 4
"""Pool connections that writers leave for reads."""

_MODES: Final = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")


def tls_options(url: URL) -> dict[str, Any]:
    """Return what asyncpg is told of the URL's libpq parameters `sslmode` and `sslrootcert`. Raises ValueError."""
    mode, root = url.query.get("sslmode", "prefer"), url.query.get("sslrootcert")
    if mode not in _MODES:
        message = f"has an sslmode that is none of {', '.join(_MODES)}"
        raise ValueError(message)
    if mode == "require" and root:
        mode = "verify-ca"  # as libpq does: who names a certificate wants it to count
    if not mode.startswith("verify"):
        return {"ssl": mode}
    try:
        context = ssl.create_default_context(cafile=str(root) if root else None)
    except OSError as error:
        message = f"names an sslrootcert that cannot be read: {error.strerror}"
        raise ValueError(message) from None
    context.check_hostname = mode == "verify-full"
    return {"ssl": context}


class PostgreSQL:
    """The PostgreSQL dialect."""

    name = "postgresql"

    def __init__(self, url: URL, *, pool_size: int, timeout: float) -> None:
        """`timeout`: seconds that connecting or one statement may take; asyncpg alone would wait for ever."""
        self._url = url
        self._pool_size = pool_size
        self.timeout = timeout
        self._own = secrets.token_hex(4)
        self.concurrent_writers = max(1, pool_size - _READERS)
        self.concurrent_readers = pool_size - self.concurrent_writers

    def connect(self) -> Database:
        """Return a database with a pool that gives up on a silent server."""
        return Database(
            self._plain_url, min_size=1, max_size=self._pool_size, **self._options(command_timeout=self.timeout)
        )

    def tail(self) -> Tail:
        """Return what hears of other processes' appends, on a connection beside the pool."""
        return NotifyTail(self._connect_tail, channel=_CHANNEL, own=self._own)

    def elected_tail(self) -> Tail:
        """Return what hears of all appends while it is the one process that may."""
        return ElectedTail(self._connect_tail, channel=_CHANNEL, lock=_ELECTION_LOCK)

    async def _connect_tail(self) -> "asyncpg.Connection[asyncpg.Record]":
        options = self._options(command_timeout=min(self.timeout, _TAIL_SECONDS))
        return await asyncpg.connect(self._plain_url, **options)

    @property
    def _plain_url(self) -> str:
        return self._url.set(drivername="postgresql", query={}).render_as_string(hide_password=False)

    def _options(self, *, command_timeout: float) -> dict[str, Any]:
        milliseconds = str(int(self.timeout * 1000))
        return {
            "timeout": self.timeout,
            "command_timeout": command_timeout,
            "server_settings": {
                "application_name": "fluxora-streams",
                # A client that hangs after its append would hold everybody's appends up.
                "idle_in_transaction_session_timeout": milliseconds,
                "lock_timeout": milliseconds,
            },
            **tls_options(self._url),
        }

    @asynccontextmanager
    async def transaction(self, connection: Connection) -> AsyncIterator[Transaction]:
        """Open a transaction on the driver's connection: `databases` leaks the pool slot when its COMMIT fails."""
        transaction = connection.raw_connection.transaction()
        await transaction.start()
        try:
            yield transaction
        finally:
            if connection.raw_connection.is_in_transaction():
                await transaction.rollback()

    def rows(self, document: str, columns: Sequence[Column[Any]]) -> FromClause:
        """Return a JSON list of objects as a table."""
        shaped = func.json_to_recordset(_json(document)).table_valued(*(column(c.name, c.type) for c in columns))
        return shaped.render_derived(name="given", with_types=True)

    def values(self, texts: Iterable[str]) -> ColumnElement[Any]:
        """Return texts as a set."""
        document = orjson.dumps([text for text in texts if storable(text)]).decode()
        return select(func.json_array_elements_text(_json(document)).column_valued("given")).scalar_subquery()

    async def insert(self, connection: Connection, table: Table, rows: Sequence[Row]) -> None:
        """Insert rows by COPY, the least that the server has to parse."""
        columns = list(rows[0])
        records = [tuple(row.values()) for row in rows]
        await connection.raw_connection.copy_records_to_table(table.name, records=records, columns=columns)

    async def append(self, connection: Connection, table: Table, rows: Sequence[Row]) -> Sequence[int]:
        """Draw ids, then insert: COPY returns none. The log's lock is held, so they ascend."""
        draw = "SELECT nextval(pg_get_serial_sequence($1, 'id')) FROM generate_series(1, $2::int)"
        ids = sorted(row[0] for row in await connection.raw_connection.fetch(draw, table.name, len(rows)))
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

    async def history(self, connection: Connection) -> str:
        """Return cluster, timeline, database and table: a failover, a restore or a copy changes one of them.

        The write-ahead log's file name carries the timeline at once; `pg_control_checkpoint` only after a checkpoint.
        """
        row = await connection.raw_connection.fetchrow(
            """
            SELECT (SELECT system_identifier FROM pg_control_system()) AS cluster,
                   substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8) AS timeline,
                   (SELECT oid FROM pg_database WHERE datname = current_database()) AS database,
                   'stream_events'::regclass::oid AS log
            """
        )
        return "|".join(str(value) for value in row)


def _json(document: str) -> ColumnElement[Any]:
    return cast(bindparam(None, document, type_=Text, unique=True), JSON)
