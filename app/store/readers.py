"""Reads: few at once, in a queue with a deadline, each finished though its caller leaves."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar
from weakref import WeakKeyDictionary

from databases import Database
from databases.core import Connection

from app.core.errors import Unavailable
from app.store.dialect import Dialect, borrowed, translated

Result = TypeVar("Result")

BUSY: Final = "too many requests wait for the database"


class Readers:
    """Runs reads, at most `count` at once; who waits longer than `patience` seconds for its turn gets Unavailable.

    A caller may be cancelled at any moment: in the queue it just leaves; once its read has begun, that goes on in a
    task of its own. A query that was cut in the middle would leave its connection with an old snapshot (SQLite), or
    cost a new one (PostgreSQL).
    """

    def __init__(self, database: Database, *, count: int, patience: float) -> None:
        """`database` is connected by whoever owns it."""
        self._database = database
        self._patience = patience
        self._free = asyncio.Semaphore(count)
        self._running: set[asyncio.Task[Any]] = set()

    async def run(self, read: Callable[[Connection], Awaitable[Result]]) -> Result:
        """Return what `read` makes of a connection. Raises Unavailable."""
        try:
            async with asyncio.timeout(self._patience):
                await self._free.acquire()
        except TimeoutError:
            raise Unavailable(BUSY) from None
        task = asyncio.create_task(self._read(read))
        self._running.add(task)
        task.add_done_callback(self._finished)
        return await asyncio.shield(task)

    async def _read(self, read: Callable[[Connection], Awaitable[Result]]) -> Result:
        with translated():
            async with borrowed(self._database) as connection:
                return await read(connection)

    def _finished(self, task: asyncio.Task[Any]) -> None:
        self._free.release()
        self._running.discard(task)
        if not task.cancelled():
            # Nobody may be left to ask for it.
            task.exception()


_known: "WeakKeyDictionary[Database, Readers]" = WeakKeyDictionary()


def readers_of(database: Database, dialect: Dialect) -> Readers:
    """Return the one queue of all who read this database."""
    if database not in _known:
        _known[database] = Readers(database, count=dialect.concurrent_readers, patience=dialect.timeout)
    return _known[database]
