"""Prunes what no setting says to keep."""

import asyncio
from collections.abc import Coroutine
from datetime import timedelta
from typing import Any, Final

import structlog
from sqlalchemy import delete

from app.core.clock import Clock, timestamp, utc_now
from app.core.errors import FluxoraError
from app.store.event_log import prune_step
from app.store.tables import idempotency_keys
from app.store.unit_of_work import SqlStore

_STEP: Final = 1000
"""Events that go in one transaction: a few milliseconds, so that no writer waits long."""

_PAUSE_SECONDS: Final = 0.05
_KEY_LIFETIME: Final = timedelta(hours=24)

_logger = structlog.stdlib.get_logger(__name__)


class Retention:
    """An event goes when it is older than `age` and not among the newest `count`; an idempotency key after a day."""

    def __init__(self, store: SqlStore, *, age: timedelta, count: int, interval: float, clock: Clock = utc_now) -> None:
        """`interval`: seconds between two rounds."""
        self._store = store
        self._age = age
        self._count = count
        self._interval = interval
        self._clock = clock

    async def run(self) -> None:
        """Prune again and again, until cancelled between two steps."""
        while True:
            await asyncio.sleep(self._interval)
            try:
                await self.prune()
            except FluxoraError as error:
                _logger.info("prune_postponed", reason=str(error))

    async def prune(self) -> int:
        """Do one round, in small steps. Returns how many events went."""
        pruned = 0
        while count := await _uncancelled(self._prune_step()):
            pruned += count
            await asyncio.sleep(_PAUSE_SECONDS)
        await _uncancelled(self._forget_keys())
        if pruned:
            _logger.info("pruned", events=pruned)
        return pruned

    async def _prune_step(self) -> int:
        async with self._store.transaction() as (connection, transaction):
            before = self._clock() - self._age
            count = await prune_step(connection, before=before, keep=self._count, limit=_STEP)
            await transaction.commit()
        return count

    async def _forget_keys(self) -> int:
        async with self._store.transaction() as (connection, transaction):
            expired = idempotency_keys.c.created_at < timestamp(self._clock() - _KEY_LIFETIME)
            await connection.execute(delete(idempotency_keys).where(expired))
            await transaction.commit()
        return 0


async def _uncancelled(step: Coroutine[Any, Any, int]) -> int:
    """Let a step finish though its caller is cancelled: a cancelled transaction would leak its connection."""
    task = asyncio.create_task(step)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task})
        raise
