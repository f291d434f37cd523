"""A connection to SQLite: a thread of its own, and what waits for the next hop to it."""

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeVar

import aiosqlite

from app.store.sqlite_checkpoints import Checkpoints

Result = TypeVar("Result")


class PooledConnection(aiosqlite.Connection):
    """A connection that knows whether somebody left it in the middle of something."""

    abandoned = False
    file: tuple[int, int] | None = None
    """The file that stood at the path when it was opened."""

    def __init__(self, checkpoints: Checkpoints, *args: Any, **kwargs: Any) -> None:
        """Tell `checkpoints` what is committed; the other arguments are aiosqlite's."""
        super().__init__(*args, **kwargs)
        self._checkpoints = checkpoints
        self._told_changes = 0
        self._later: list[Callable[[sqlite3.Connection], object]] = []

    async def hop(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
        """Run `work` in the connection's thread, whole, however many statements it is."""
        result: Result = await self._execute(work, self._conn)
        return result

    def later(self, work: Callable[[sqlite3.Connection], object]) -> None:
        """Run `work` at the beginning of the next hop: to get there and back costs more than most statements."""
        self._later.append(work)

    async def room(self) -> None:
        """Return when more may be written."""
        await self._checkpoints.room()

    async def commit(self) -> None:
        """Commit."""
        await self.hop(lambda raw: raw.execute("COMMIT"))
        told, self._told_changes = self._told_changes, self.total_changes
        self._checkpoints.wrote(self._told_changes - told)

    def forget(self) -> None:
        """Leave undone what was to be done later."""
        self._later.clear()

    async def _execute(self, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        if self._later:
            fn = partial(_after, self._later, self._conn, fn)
            self._later = []
        # Every statement comes through here, a BEGIN too: whoever is cancelled here leaves it running in the thread.
        try:
            return await super()._execute(fn, *args, **kwargs)  # type: ignore[no-untyped-call]
        except asyncio.CancelledError:
            self.abandoned = True
            raise


def _after(
    earlier: Sequence[Callable[[sqlite3.Connection], object]],
    raw: sqlite3.Connection,
    fn: Callable[..., Result],
    *args: Any,
    **kwargs: Any,
) -> Result:
    for work in earlier:
        work(raw)
    return fn(*args, **kwargs)
