"""SQLite's connections: one writer, a few readers, each statement in one hop to its thread."""

import asyncio
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import structlog
from databases.backends.common.records import Record, Row
from databases.backends.sqlite import CompilationContext, SQLiteBackend, SQLiteConnection
from databases.core import Database
from sqlalchemy.engine.cursor import CursorResultMetaData
from sqlalchemy.sql import ClauseElement

from app.store.compiled import Statements
from app.store.dialect import Unfit
from app.store.sqlite_checkpoints import Checkpoints
from app.store.sqlite_connection import PooledConnection

READERS: Final = 4
"""Reads at once. A read of a page takes a millisecond or two, most of it with Python's lock held: more gain nothing."""

_PRAGMAS: Final = (
    "PRAGMA journal_mode=WAL",
    # NORMAL can lose the last commits with the machine, and would then give their ids away again.
    "PRAGMA synchronous=FULL",
    "PRAGMA foreign_keys=ON",
    # In KiB. A batch of a thousand changes two thousand pages, and SQLite's own cache holds five hundred.
    "PRAGMA cache_size=-16000",
    # In pages. `Checkpoints` copy the write-ahead log into the file; a commit does only when they fail.
    "PRAGMA wal_autocheckpoint=6000",
)


_UNKNOWN: Final = (0, 0)
_ANOTHER_HISTORY: Final = "UPDATE log_state SET token = lower(hex(randomblob(8)))"
_logger = structlog.stdlib.get_logger(__name__)


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


class Pool:
    """Keeps connections open: opening one means a thread, a file and its pragmas.

    Its users bound how many are open: the readers' queue, and the writers'.
    """

    _memref = None  # `databases` clears it when it disconnects

    def __init__(self, path: str, timeout: float) -> None:
        """`timeout`: seconds to wait for another process that writes to the file."""
        self._path = Path(path)
        self._file: tuple[int, int] | None = None
        self._wal: tuple[int, int] | None = None
        # Only the migration makes the file: one that a wrong path names would be another, empty database.
        self._uri = f"file:{quote(path)}?mode=rw"
        self._timeout = timeout
        self._idle: list[PooledConnection] = []
        self._looking = asyncio.Lock()
        self._checkpoints = Checkpoints(self._checkpoint)

    async def acquire(self) -> PooledConnection:
        """Return a connection on which nothing is open, to the file that stands at the path now. Raises Unfit."""
        # One at a time: who came while another follows a new file would read it under the epoch of the lost one.
        async with self._looking:
            await self._look()
        return self._idle.pop() if self._idle else await self._open()

    async def _look(self) -> None:
        """Follow the file if it was replaced. Raises Unfit."""
        file = _identity(self._path)
        if file is None and self._file is not None:
            message = f"the database file {self._path.name} is gone"
            raise Unfit(message)
        if file is not None and file != self._file:
            await self._follow(file)
        if self._wal is None:
            self._wal = _identity(self._beside("-wal"))

    def _beside(self, suffix: str) -> Path:
        return self._path.with_name(self._path.name + suffix)

    async def _follow(self, file: tuple[int, int]) -> None:
        """Leave a file that another one has replaced; that one is another history, though its rows may be the same."""
        replaced, self._file = self._file is not None, file
        if not replaced:
            return
        try:
            await self._begin_another_history()
        except BaseException:
            self._file = _UNKNOWN
            raise
        _logger.warning("database_file_replaced", file=str(self._path))

    async def _begin_another_history(self) -> None:
        await self.close()
        if self._wal is not None and self._wal == _identity(self._beside("-wal")):
            # The log of the file that is gone would be written into its successor.
            for name in ("-wal", "-shm"):
                self._beside(name).unlink(missing_ok=True)
        self._wal = None
        connection = await self._open()
        try:
            await connection.hop(lambda raw: raw.execute(_ANOTHER_HISTORY).close())
        finally:
            await connection.close()

    async def _open(self) -> PooledConnection:
        def connect() -> sqlite3.Connection:
            connection = sqlite3.connect(self._uri, uri=True, isolation_level=None, timeout=self._timeout)
            try:
                for pragma in _PRAGMAS:
                    connection.execute(pragma)
            except BaseException:
                connection.close()
                raise
            return connection

        connection = PooledConnection(self._checkpoints, connect, iter_chunk_size=64)
        try:
            await connection
        except Exception:
            # The thread's last word goes to the event loop, which ends soon when the service cannot start.
            await asyncio.to_thread(connection._thread.join)
            raise
        connection.file = self._file
        return connection

    async def release(self, connection: PooledConnection) -> None:
        """Take a clean connection back, and close any other."""
        stale = connection.abandoned or connection.in_transaction or connection.file != self._file
        if stale or len(self._idle) > READERS:
            await connection.close()
        else:
            self._idle.append(connection)

    async def _checkpoint(self) -> None:
        connection = await self.acquire()
        try:
            await connection.hop(lambda raw: raw.execute("PRAGMA wal_checkpoint(PASSIVE)").close())
        finally:
            await self.release(connection)

    async def disconnect(self) -> None:
        """Close all, when nobody uses them any more."""
        await self._checkpoints.close()
        await self.close()

    async def close(self) -> None:
        """Close what is idle."""
        while self._idle:
            await self._idle.pop().close()


class _Connection(SQLiteConnection):
    """Runs and reads a statement in one hop: nothing of it is left open, whoever is cancelled where."""

    def __init__(self, pool: "Pool", dialect: Any, statements: Statements) -> None:
        super().__init__(pool, dialect)  # type: ignore[arg-type]
        self._statements = statements

    @property
    def _pooled(self) -> PooledConnection:
        pooled: PooledConnection = self.raw_connection  # type: ignore[assignment]
        return pooled

    async def fetch_all(self, query: ClauseElement) -> list[Any]:
        return await self._fetch(query, -1)

    async def fetch_one(self, query: ClauseElement) -> Any:
        return next(iter(await self._fetch(query, 1)), None)

    async def execute(self, query: ClauseElement) -> Any:
        statement, args = self._statements.compiled(query)
        sql = statement.sql

        def run(connection: sqlite3.Connection) -> int:
            cursor = connection.execute(sql, args)
            try:
                return cursor.lastrowid or cursor.rowcount
            finally:
                cursor.close()

        return await self._pooled.hop(run)

    async def _fetch(self, query: ClauseElement, count: int) -> list[Any]:
        statement, args = self._statements.compiled(query)
        sql = statement.sql

        def run(connection: sqlite3.Connection) -> tuple[list[Any], Sequence[Any]]:
            cursor = connection.execute(sql, args)
            try:
                return (cursor.fetchall() if count < 0 else cursor.fetchmany(count)), cursor.description
            finally:
                cursor.close()

        rows, description = await self._pooled.hop(run)
        if not rows:
            return []
        metadata: Any = CursorResultMetaData(_context(statement.compiled, self._dialect), description)
        made = (Row(metadata, metadata._processors, metadata._keymap, row) for row in rows)
        return [Record(row, statement.columns, self._dialect, statement.maps) for row in made]


def _context(compiled: Any, dialect: Any) -> Any:
    """Return what SQLAlchemy reads a result by."""
    context = dialect.execution_ctx_cls()
    context.dialect = dialect
    context.result_column_struct = (
        compiled._result_columns,
        compiled._ordered_columns,
        compiled._textual_ordered_columns,
        compiled._ad_hoc_textual,
        compiled._loose_column_name_matching,
    )
    return CompilationContext(context)


class PooledBackend(SQLiteBackend):
    """`databases`' backend with a pool that keeps its connections."""

    def __init__(self, database_url: Any, *, path: str, timeout: float) -> None:
        """`path`: of the file."""
        super().__init__(database_url)
        self._pool = Pool(path, timeout)  # type: ignore[assignment]
        self._statements = Statements(dialect=self._dialect)

    def connection(self) -> SQLiteConnection:
        """Return a connection that is not acquired yet."""
        return _Connection(self._pool, self._dialect, self._statements)  # type: ignore[arg-type]

    async def disconnect(self) -> None:
        """Close what is open."""
        await self._pool.disconnect()  # type: ignore[attr-defined]


class PooledDatabase(Database):
    """A database on one file, through the pool."""

    SUPPORTED_BACKENDS = {"sqlite": f"{__name__}:PooledBackend"}  # noqa: RUF012 - as the base class has it
