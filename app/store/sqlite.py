"""SQLite, through aiosqlite: the embedded default."""

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from typing import Any

import aiosqlite
import orjson
from databases import Database
from databases.core import Connection
from sqlalchemy import URL, Column, FromClause, Table, Text, bindparam, func, insert, select, text
from sqlalchemy.dialects import sqlite
from sqlalchemy.sql.elements import ColumnElement

from app.store.dialect import Row, behind
from app.store.sqlite_pool import READERS, PooledDatabase


class _Transaction:
    def __init__(self, connection: aiosqlite.Connection) -> None:
        self._connection = connection

    async def commit(self) -> None:
        await self._connection.execute("COMMIT")


class SQLite:
    """The SQLite dialect. It has one writer at a time, which is all the log needs for its order."""

    name = "sqlite"
    concurrent_writers = 1
    concurrent_readers = READERS

    def __init__(self, url: URL, *, timeout: float) -> None:
        """`timeout`: seconds to wait for another process that writes to the file."""
        self._path = str(Path(url.database or "").absolute())
        self.timeout = timeout

    def connect(self) -> Database:
        """Return a database on the file."""
        return PooledDatabase("sqlite:///", path=self._path, timeout=self.timeout)

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

    async def append(self, connection: Connection, table: Table, rows: Sequence[Row], *, after: int) -> Sequence[int]:
        """Insert rows; AUTOINCREMENT numbers those of one transaction without a gap, as there is one writer."""
        await self.insert(connection, table, rows)
        ((last,),) = await connection.raw_connection.execute_fetchall("SELECT last_insert_rowid()")
        ids = range(last - len(rows) + 1, last + 1)
        if ids[0] <= after:
            raise behind(after)
        return ids

    async def lock_log(self, connection: Connection) -> None:
        """BEGIN IMMEDIATE did."""

    async def settle(self, connection: Connection) -> None:
        """Copy the write-ahead log into the file: else the commit after its 1,000th page does, with all writers."""
        await connection.fetch_all(text("PRAGMA wal_checkpoint(PASSIVE)"))

    async def numbered(self, connection: Connection) -> None:
        """Return nothing: AUTOINCREMENT looks at the table, too."""
        del connection

    async def history(self, connection: Connection) -> str:
        """Return nothing: a file does not tell that it was restored; see `python -m app new-epoch`."""
        del connection
        return ""


@cache
def _insert_of(table: Table, names: tuple[str, ...]) -> str:
    return str(insert(table).compile(dialect=sqlite.dialect(paramstyle="named"), column_keys=names))


def _text(document: str) -> ColumnElement[str]:
    return bindparam(None, document, type_=Text, unique=True)
