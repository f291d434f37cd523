"""One unit of work, then publish: finished whatever its caller does."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, TypeVar

import structlog

from app.core.access.acting import ACTING
from app.core.errors import FluxoraError, Unavailable, WriteCollision
from app.core.event import Draft, Event
from app.core.measures import Measures
from app.core.ports import Store, UnitOfWork
from app.core.relay import Relay

_ATTEMPTS: Final = 5
_logger = structlog.stdlib.get_logger(__name__)
Result = TypeVar("Result")
Work = Callable[[UnitOfWork], Awaitable[tuple[Result, Sequence[Draft]]]]


class Writer:
    """Runs units of work, and publishes what they append once it is committed."""

    def __init__(self, store: Store, relay: Relay, *, timeout: float, measures: Measures) -> None:
        """`timeout`: seconds after which a caller is told that the outcome is unknown; the write itself goes on."""
        self._store = store
        self._relay = relay
        self._timeout = timeout
        self._measures = measures
        self._running: set[asyncio.Task[Any]] = set()
        self._draining = False

    @property
    def running(self) -> int:
        """How many writes are in hand."""
        return len(self._running)

    async def drain(self) -> None:
        """Refuse further writes, and wait for those in hand."""
        self._draining = True
        while self._running:
            await asyncio.wait(self._running)

    async def write(self, work: Work[Result]) -> tuple[Result, Sequence[Event]]:
        """Run a unit of work in a task of its own: the framework cancels a handler when its client disconnects."""
        if self._draining:
            message = "the service is shutting down"
            raise Unavailable(message)
        task = asyncio.create_task(self._attempt(work))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        done: set[asyncio.Task[tuple[Result, Sequence[Event]]]] = set()
        try:
            done, _ = await asyncio.wait({task}, timeout=self._timeout)
        finally:
            if not done:  # nobody waits for what becomes of it any more
                task.add_done_callback(_log_failure)
        if not done:
            message = "the write takes too long; it may still be done, so ask again before you repeat it"
            raise Unavailable(message)
        return task.result()

    async def _attempt(self, work: Work[Result]) -> tuple[Result, Sequence[Event]]:
        for _ in range(_ATTEMPTS - 1):
            try:
                return await self._commit(work)
            except WriteCollision:
                await asyncio.sleep(0)
        return await self._commit(work)

    async def _commit(self, work: Work[Result]) -> tuple[Result, Sequence[Event]]:
        with self._measures.writes.time():
            return await self._transact(work)

    async def _transact(self, work: Work[Result]) -> tuple[Result, Sequence[Event]]:
        async with self._store.begin() as unit:
            result, drafts = await work(unit)
            if not drafts:
                await unit.commit()
                return result, ()
            async with self._relay.append_lock():
                appended = await unit.append(drafts)
                if (actor := ACTING.get()) is not None:
                    await unit.record(actor, appended)
                await unit.commit()
                self._relay.publish_committed(appended)
            return result, appended.events


def _log_failure(task: asyncio.Task[Any]) -> None:
    if not task.cancelled() and (error := task.exception()) and not isinstance(error, FluxoraError):
        _logger.error("write_failed", exc_info=error)
