"""SQLite's write-ahead log is copied into the file beside the writer, so that no commit waits for it."""

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from app.store.dialect import Unfit

_ROWS: Final = 1000
"""Rows that are written between two copies: some thousand pages."""

_MOST: Final = 6 * _ROWS
"""Rows that may be written meanwhile: where the disk is slower than the writer, the log would grow without an end."""

_logger = structlog.stdlib.get_logger(__name__)


class Checkpoints:
    """Begins a copy when enough was written since the last one; there is one at a time.

    A commit that has to copy waits until scattered pages, one for each new stream, are on the disk: a fifth of the time
    of a batch. It still does when the copies fail.
    """

    def __init__(self, copy: Callable[[], Awaitable[None]]) -> None:
        """`copy` does it, on a connection of its own."""
        self._copy = copy
        self._rows = 0
        self._task: asyncio.Task[None] | None = None

    def wrote(self, rows: int) -> None:
        """Hear of rows that were committed."""
        self._rows += rows
        if self._rows >= _ROWS and (self._task is None or self._task.done()):
            self._begin()

    async def room(self) -> None:
        """Return when more may be written. Asked before a transaction: what is committed is published at once."""
        if self._rows >= _MOST:
            await self.close()
            self._begin()
            await self.close()

    async def close(self) -> None:
        """Wait for a copy that is under way."""
        if self._task is not None:
            await asyncio.wait([self._task])

    def _begin(self) -> None:
        self._rows = 0
        self._task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        try:
            await self._copy()
        except (sqlite3.Error, OSError, Unfit) as error:
            # A full disk, or a file that is gone: who writes next is told.
            _logger.debug("checkpoint_failed", reason=str(error))
