"""SQLite, through aiosqlite: the embedded default."""

import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from typing import Any, Final

from databases import Database
from databases.core import Connection
from sqlalchemy import URL, Column, FromClause, Table, func, insert, select, text
from sqlalchemy.dialects import sqlite
from sqlalchemy.sql.elements import ColumnElement

from app.core.ports import Position
from app.store.dialect import Document, behind, parameter
from app.store.position import POSITION, position_in
from app.store.sqlite_connection import PooledConnection
from app.store.sqlite_pool import READERS, PooledDatabase
from app.store.tables import stream_events
from app.store.transaction import Row, Transaction


class _Transaction(Transaction):
    """All that waits goes with the next hop to the connection's thread."""

    @property
    def _pooled(self) -> PooledConnection:
        pooled: PooledConnection = self.connection.raw_connection
        return pooled

    async def insert(self, table: Table, rows: Sequence[Row]) -> None:
        """Insert rows, prepared once: half the time of one statement that takes them apart from JSON."""
        statement = _insert_of(table, tuple(rows[0]))
        self._pooled.later(lambda raw: raw.executemany(statement, rows))

    async def append(self, rows: Sequence[Row]) -> tuple[Position, Sequence[int]]:
        """Append; AUTOINCREMENT numbers the rows of one transaction without a gap, as there is one writer."""
        statement = _insert_of(stream_events, tuple(rows[0]))

        def run(raw: sqlite3.Connection) -> tuple[Any, int]:
            before = raw.execute(_POSITION).fetchone()
            raw.executemany(statement, rows)
            return before, raw.execute("SELECT last_insert_rowid()").fetchone()[0]

        before, last = await self._pooled.hop(run)
        position, ids = position_in(before, _NO_HISTORY), range(last - len(rows) + 1, last + 1)
        if ids[0] <= position.head:
            raise behind(position.head)
        return position, ids

    async def commit(self) -> None:
        await self._pooled.commit()

    async def _catch_up(self) -> None:
        """Do nothing: the next statement does it on its way."""


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
    async def transaction(self, connection: Connection) -> AsyncIterator[Transaction]:
        """Open a transaction that writes from the start: a deferred one that has read fails when it meets another."""
        raw: PooledConnection = connection.raw_connection
        await raw.room()
        raw.later(lambda opened: opened.execute("BEGIN IMMEDIATE"))
        try:
            yield _Transaction(connection)
        finally:
            raw.forget()
            if raw.in_transaction:
                await raw.execute("ROLLBACK")

    def rows(self, document: Document, columns: Sequence[Column[Any]]) -> FromClause:
        """Return a JSON list of objects as a table."""
        each = func.json_each(parameter(document)).table_valued("value")
        picked = (func.json_extract(each.c.value, f"$.{c.name}", type_=c.type).label(c.name) for c in columns)
        return select(*picked).select_from(each).subquery("given")

    def values(self, document: Document) -> ColumnElement[Any]:
        """Return texts as a set."""
        return select(func.json_each(parameter(document)).table_valued("value").c.value).scalar_subquery()

    def among(self, column: ColumnElement[Any], document: Document) -> ColumnElement[bool]:
        """Return a condition on a column."""
        return column.in_(self.values(document))

    async def settle(self, connection: Connection) -> None:
        """Copy the write-ahead log into the file: else the commit after its 1,000th page does, with all writers."""
        await connection.fetch_all(text("PRAGMA wal_checkpoint(PASSIVE)"))

    async def numbered(self, connection: Connection) -> None:
        """Return nothing: AUTOINCREMENT looks at the table, too."""
        del connection

    async def history(self, connection: Connection) -> str:
        """Return nothing: a file does not tell that it was restored; see `python -m app new-epoch`."""
        del connection
        return _NO_HISTORY


_NO_HISTORY: Final = ""
_POSITION: Final = str(POSITION.compile(dialect=sqlite.dialect()))


@cache
def _insert_of(table: Table, names: tuple[str, ...]) -> str:
    return str(insert(table).compile(dialect=sqlite.dialect(paramstyle="named"), column_keys=names))
