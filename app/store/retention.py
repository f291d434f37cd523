"""Prunes what no setting says to keep."""

import asyncio
import time
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, Final, TypeVar

import structlog
from sqlalchemy import delete, select

from app.core.clock import Clock, timestamp, utc_now
from app.core.errors import FluxoraError
from app.store.event_log import prune
from app.store.prunable import Prunable
from app.store.store import SqlStore
from app.store.tables import idempotency_keys

Result = TypeVar("Result")

_SMALLEST_STEP: Final = 20
_LARGEST_STEP: Final = 1000
_FIRST_STEP: Final = 50
_STEP_SECONDS: Final = 0.008
"""What a step should take: writers wait for it on SQLite. How many rows that is depends on the disk and the indexes."""

_SHARE: Final = 4
"""How much longer than a step the writers have to themselves after it."""

_KEY_LIFETIME: Final = timedelta(hours=24)

_logger = structlog.stdlib.get_logger(__name__)


class Pace:
    """How many rows a step takes, so that it stays a few milliseconds."""

    def __init__(self) -> None:
        """Begin small: the first step finds everything cold."""
        self.size = _FIRST_STEP
        self.pause = 0.0
        """Seconds that writers have to themselves after a step."""

    @contextmanager
    def measured(self) -> Iterator[None]:
        """Time a step, and choose the size of the next."""
        begun = time.monotonic()
        yield
        took = time.monotonic() - begun
        self.pause = _SHARE * took
        wanted = self.size * (1.25 if took < _STEP_SECONDS / 2 else 0.5 if took > _STEP_SECONDS else 1)
        self.size = int(min(max(wanted, _SMALLEST_STEP), _LARGEST_STEP))


class Retention:
    """An event goes when it is older than `age` and not among the newest `count`; an idempotency key after a day."""

    def __init__(self, store: SqlStore, *, age: timedelta, count: int, interval: float, clock: Clock = utc_now) -> None:
        """`interval`: seconds between two rounds."""
        self._store = store
        self._age = age
        self._count = count
        self._interval = interval
        self._clock = clock
        self._pace = Pace()

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
        now, pruned = self._clock(), 0
        prunable = Prunable(self._store.read, before=now - self._age, now=now, keep=self._count)
        await prunable.count()
        ids: list[int] = []
        while ids := ids or await prunable.page():
            step, ids = ids[: self._pace.size], ids[self._pace.size :]
            if not await _uncancelled(self._step(step[-1], prunable.token)):
                return pruned
            pruned += len(step)
            await self._store.settle()
            await asyncio.sleep(self._pace.pause)
        await self._forget_keys()
        if pruned:
            _logger.info("pruned", events=pruned)
        return pruned

    async def _step(self, upto: int, token: str) -> bool:
        async with self._store.transaction() as transaction:
            with self._pace.measured():
                same = await prune(transaction, upto=upto, token=token)
                await transaction.commit()
        return same

    async def _forget_keys(self) -> None:
        expired = idempotency_keys.c.created_at < timestamp(self._clock() - _KEY_LIFETIME)
        while True:
            some = select(idempotency_keys.c.key).where(expired).limit(self._pace.size)
            rows = await self._store.read(lambda connection, some=some: connection.fetch_all(some))  # type: ignore[misc]
            if not rows:
                return
            await _uncancelled(self._forget([row["key"] for row in rows]))
            await asyncio.sleep(self._pace.pause)

    async def _forget(self, keys: list[str]) -> None:
        async with self._store.transaction() as transaction:
            with self._pace.measured():
                await transaction.execute(delete(idempotency_keys).where(idempotency_keys.c.key.in_(keys)))
                await transaction.commit()


async def _uncancelled(step: Coroutine[Any, Any, Result]) -> Result:
    """Let a step finish though its caller is cancelled: a cancelled transaction would leak its connection."""
    task = asyncio.create_task(step)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task})
        raise
