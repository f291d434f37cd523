"""One connection to a SQLite file, in a thread of its own: few hops to it, each whole."""

import asyncio
import sqlite3
from collections.abc import Callable
from typing import Any, TypeVar

import aiosqlite

Result = TypeVar("Result")


class PooledConnection(aiosqlite.Connection):
    """A connection that knows whether somebody left it in the middle of something."""

    abandoned = False
    file: tuple[int, int] | None = None
    """The file that stood at the path when it was opened."""

    def __init__(self, connect: Callable[[], sqlite3.Connection]) -> None:
        """`connect` opens it, in its thread."""
        super().__init__(connect, iter_chunk_size=64)
        self._deferred: list[Callable[[sqlite3.Connection], None]] = []

    def defer(self, work: Callable[[sqlite3.Connection], None]) -> None:
        """Run `work` on the way of the next hop: a hop costs more than most statements.

        What it raises is raised there.
        """
        self._deferred.append(work)

    def forget(self) -> None:
        """Leave undone what was deferred."""
        self._deferred.clear()

    async def hop(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
        """Run `work` in the connection's thread, whole, however many statements it is."""
        deferred, self._deferred = self._deferred, []

        def run(connection: sqlite3.Connection) -> Result:
            for each in deferred:
                each(connection)
            return work(connection)

        result: Result = await self._execute(run, self._conn)
        return result

    async def _execute(self, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        # Every statement comes through here, a BEGIN too: whoever is cancelled here leaves it running in the thread.
        try:
            return await super()._execute(fn, *args, **kwargs)  # type: ignore[no-untyped-call]
        except asyncio.CancelledError:
            self.abandoned = True
            raise
