"""SQLite, through aiosqlite: the embedded default."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import aiosqlite
import orjson
from databases import Database
from databases.backends.sqlite import SQLiteBackend
from databases.core import Connection
from sqlalchemy import URL, Column, FromClause, Table, Text, bindparam, func, insert, select
from sqlalchemy.dialects import sqlite
from sqlalchemy.sql.elements import ColumnElement

from app.store.dialect import Row

_IDLE_CONNECTIONS: Final = 4
_PRAGMAS: Final = (
    "PRAGMA journal_mode=WAL",
    # NORMAL can lose the last commits with the machine, and would then give their ids away again.
    "PRAGMA synchronous=FULL",
    "PRAGMA foreign_keys=ON",
)


class _Pool:
    """Keeps connections open: opening one means a thread, a file and its pragmas."""

    _memref = None  # `databases` clears it when it disconnects

    def __init__(self, path: str, timeout: float) -> None:
        # Only the migration makes the file: one that a wrong path names would be another, empty database.
        self._uri = f"file:{quote(path)}?mode=rw"
        self._timeout = timeout
        self._idle: list[aiosqlite.Connection] = []

    async def acquire(self) -> aiosqlite.Connection:
        if self._idle:
            return self._idle.pop()
        connection = aiosqlite.connect(self._uri, uri=True, isolation_level=None, timeout=self._timeout)
        try:
            await connection
            for pragma in _PRAGMAS:
                await connection.execute(pragma)
        except BaseException as error:
            # Its thread would wait for work for ever, and the process for its thread.
            connection.stop()
            if isinstance(error, Exception):
                # The thread's last word goes to the event loop, which ends soon when the service cannot start.
                await asyncio.to_thread(connection._thread.join)
            raise
        return connection

    async def release(self, connection: aiosqlite.Connection) -> None:
        if len(self._idle) < _IDLE_CONNECTIONS and not connection.in_transaction:
            self._idle.append(connection)
        else:
            await connection.close()

    async def close(self) -> None:
        while self._idle:
            await self._idle.pop().close()


class PooledBackend(SQLiteBackend):
    """`databases`' backend with a pool that keeps its connections."""

    def __init__(self, database_url: Any, *, path: str, timeout: float) -> None:
        """`path`: of the file."""
        super().__init__(database_url)
        self._pool = _Pool(path, timeout)  # type: ignore[assignment]

    async def disconnect(self) -> None:
        """Close what is open."""
        await self._pool.close()  # type: ignore[attr-defined]


class _Database(Database):
    SUPPORTED_BACKENDS = {"sqlite": f"{__name__}:PooledBackend"}  # noqa: RUF012 - as the base class has it


class _Transaction:
    def __init__(self, connection: aiosqlite.Connection) -> None:
        self._connection = connection

    async def commit(self) -> None:
        await self._connection.execute("COMMIT")


class SQLite:
    """The SQLite dialect. It has one writer at a time, which is all the log needs for its order."""

    name = "sqlite"
    concurrent_writers = 1

    def __init__(self, url: URL, *, timeout: float) -> None:
        """`timeout`: seconds to wait for another process that writes to the file."""
        self._path = str(Path(url.database or "").absolute())
        self._timeout = timeout

    def connect(self) -> Database:
        """Return a database on the file."""
        return _Database("sqlite:///", path=self._path, timeout=self._timeout)

    def tail(self) -> None:
        """Return nothing: a file tells nobody that it was written to."""

    def elected_tail(self) -> None:
        """Return nothing: there is nobody to elect."""

    @asynccontextmanager
    async def transaction(self, connection: Connection) -> AsyncIterator[_Transaction]:
        """Open a transaction that writes from the start: a deferred one that has read fails when it meets another."""
        raw: aiosqlite.Connection = connection.raw_connection
        await raw.execute("BEGIN IMMEDIATE")
        try:
            yield _Transaction(raw)
        finally:
            if raw.in_transaction:
                await raw.execute("ROLLBACK")

    def rows(self, document: str, columns: Sequence[Column[Any]]) -> FromClause:
        """Return a JSON list of objects as a table."""
        each = func.json_each(_text(document)).table_valued("value")
        picked = (func.json_extract(each.c.value, f"$.{c.name}", type_=c.type).label(c.name) for c in columns)
        return select(*picked).select_from(each).subquery("given")

    def values(self, texts: Iterable[str]) -> ColumnElement[Any]:
        """Return texts as a set."""
        document = orjson.dumps(list(texts)).decode()
        return select(func.json_each(_text(document)).table_valued("value").c.value).scalar_subquery()

    async def insert(self, connection: Connection, table: Table, rows: Sequence[Row]) -> None:
        """Insert rows, prepared once: half the time of one statement that takes them apart from JSON."""
        await connection.raw_connection.executemany(_insert_of(table, tuple(rows[0])), rows)

    async def append(self, connection: Connection, table: Table, rows: Sequence[Row]) -> Sequence[int]:
        """Insert rows; AUTOINCREMENT numbers those of one transaction without a gap, as there is one writer."""
        await self.insert(connection, table, rows)
        ((last,),) = await connection.raw_connection.execute_fetchall("SELECT last_insert_rowid()")
        return range(last - len(rows) + 1, last + 1)

    async def lock_log(self, connection: Connection) -> None:
        """BEGIN IMMEDIATE did."""

    async def history(self, connection: Connection) -> str:
        """Return nothing: a file does not tell that it was restored; see `python -m app new-epoch`."""
        del connection
        return ""


@cache
def _insert_of(table: Table, names: tuple[str, ...]) -> str:
    return str(insert(table).compile(dialect=sqlite.dialect(paramstyle="named"), column_keys=names))


def _text(document: str) -> ColumnElement[str]:
    return bindparam(None, document, type_=Text, unique=True)
