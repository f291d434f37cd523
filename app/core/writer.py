"""The write path: units of work share transactions, what they append is published, and each caller hears of its own."""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextvars import Context
from dataclasses import dataclass
from typing import Any, Final, TypeVar, cast

import structlog

from app.core.access.acting import ACTING
from app.core.access.ports import Actor
from app.core.errors import FluxoraError, Unavailable, WriteCollision
from app.core.event import Draft, Event
from app.core.measures import Measures
from app.core.ports import Appended, Rows, Store, UnitOfWork
from app.core.relay import Relay
from app.core.shared_unit import SharedUnit, Touched

_ATTEMPTS: Final = 5

_GROUP: Final = 64
"""Units of work that share a transaction at most: about 20 ms of it."""

_SHARED: Final = 2
"""Shared transactions at once: with one, nobody works while it commits; with six, the groups are small. 6 gave 380
writes/s on PostgreSQL, 1 540, 2 580."""

_AWAY: Final = 2
"""One unit may wait in vain for its stream's lock; after two the database is away, and 64 timeouts are no use."""

_logger = structlog.stdlib.get_logger(__name__)
Result = TypeVar("Result")
Work = Callable[[Rows], Awaitable[tuple[Result, Sequence[Draft]]]]


@dataclass(slots=True, eq=False)
class _Entry:
    """A unit of work that waits, and its caller. `touched` is all that it looks at; None: more than that.

    `place` is where its caller stands in a trace, if anybody follows it.
    """

    work: Work[Any]
    touched: Touched | None
    actor: Actor | None
    place: object | None
    done: asyncio.Future[tuple[Any, Sequence[Event]]]
    result: Any = None
    error: Exception | None = None
    drafts: Sequence[Draft] = ()


class _Apart(Exception):
    """The units of a group must be done one by one."""


class Writer:
    """Runs units of work, and publishes what they append once it is committed.

    Those that wait while a transaction is under way share the next one, if each touches a single stream. They are
    finished whatever their callers do. One that is refused is refused alone; when the database refuses the group, it is
    done one by one.
    """

    def __init__(self, store: Store, relay: Relay, *, timeout: float, transactions: int, measures: Measures) -> None:
        """`timeout`: seconds after which a caller is told that the outcome is unknown; the write itself goes on.

        `transactions`: how many are open at once.
        """
        self._store = store
        self._relay = relay
        self._timeout = timeout
        self._most = transactions
        self._measures = measures
        self._waiting: deque[_Entry] = deque()
        self._runners: set[asyncio.Task[None]] = set()
        self._in_hand: set[_Entry] = set()
        self._draining = False

    @property
    def running(self) -> int:
        """How many writes are in hand."""
        return len(self._in_hand)

    async def drain(self) -> None:
        """Refuse further writes, and wait for those in hand."""
        self._draining = True
        while self._runners:
            await asyncio.wait(self._runners)

    async def write(self, work: Work[Result], touched: Touched | None = None) -> tuple[Result, Sequence[Event]]:
        """Run a unit of work apart from its caller: the framework cancels a handler when its client disconnects.

        `touched`: all that it looks at. It may then share a transaction, and is called again when that has to be
        repeated.
        """
        if self._draining:
            message = "the service is shutting down"
            raise Unavailable(message)
        outcome = asyncio.get_running_loop().create_future()
        entry = _Entry(work, touched, ACTING.get(), self._measures.tracer.here(), outcome)
        self._enqueue(entry)
        done: set[asyncio.Future[tuple[Any, Sequence[Event]]]] = set()
        try:
            done, _ = await asyncio.wait({entry.done}, timeout=self._timeout)
        finally:
            if not done:  # nobody waits for what becomes of it any more
                entry.done.add_done_callback(_log_failure)
        if not done:
            message = "the write takes too long; it may still be done, so ask again before you repeat it"
            raise Unavailable(message)
        return entry.done.result()

    def _enqueue(self, entry: _Entry) -> None:
        self._waiting.append(entry)
        self._in_hand.add(entry)
        if len(self._runners) < (self._most if entry.touched is None else min(self._most, _SHARED)):
            # Of no caller: neither its request's name in the log, nor who it is.
            runner = asyncio.get_running_loop().create_task(self._run(), context=Context())
            self._runners.add(runner)
            runner.add_done_callback(self._runners.discard)

    async def _run(self) -> None:
        while self._waiting:
            group = self._next_group()
            try:
                await self._attempt(group)
            except Exception as error:  # noqa: BLE001 - each caller is told, or else the log
                for entry in group:
                    if not entry.done.done():
                        entry.done.set_exception(error)
            self._in_hand.difference_update(group)
        # At once, not when its callback comes: what is enqueued in between would wait for nobody.
        self._runners.discard(cast("asyncio.Task[None]", asyncio.current_task()))

    def _next_group(self) -> list[_Entry]:
        """Take what is first, and what may go with it."""
        group = [self._waiting.popleft()]
        if group[0].touched is None:
            return group
        while self._waiting and self._waiting[0].touched is not None and len(group) < _GROUP:
            group.append(self._waiting.popleft())
        return group

    async def _attempt(self, group: Sequence[_Entry]) -> None:
        if len(group) > 1:
            try:
                await self._commit(group)
            except (_Apart, WriteCollision):
                await self._one_by_one(group)
            return
        for _ in range(_ATTEMPTS - 1):
            try:
                await self._commit(group)
            except WriteCollision:
                await asyncio.sleep(0)
            else:
                return
        await self._commit(group)

    async def _one_by_one(self, group: Sequence[_Entry]) -> None:
        away = 0
        for number, entry in enumerate(group, start=1):
            try:
                await self._attempt([entry])
            except Exception as error:  # noqa: BLE001 - its caller is told
                entry.done.set_exception(error)
                away = away + 1 if isinstance(error, Unavailable) else 0
                if away == _AWAY:
                    for left in group[number:]:
                        left.done.set_exception(error)
                    return
            else:
                away = 0

    async def _commit(self, group: Sequence[_Entry]) -> None:
        with self._measures.writes.time():
            appended = await self._transact(group)
        for entry, own in _shares(group, appended.events if appended else ()):
            if entry.error is None:
                entry.done.set_result((entry.result, own))
            else:
                entry.done.set_exception(entry.error)

    async def _transact(self, group: Sequence[_Entry]) -> Appended | None:
        begun = time.time_ns()
        async with self._store.begin() as unit:
            try:
                await _work(group, unit)
            except Exception as error:
                if len(group) == 1:
                    raise
                raise _Apart from error
            drafts = [draft for entry in group for draft in entry.drafts]
            if not drafts:
                await unit.commit()
                return None
            async with self._relay.append_lock():
                appended = await unit.append(drafts)
                await _record(group, unit, appended.events)
                await unit.commit()
                self._relay.publish_committed(appended)
                traced = [(each.place, own) for each, own in _shares(group, appended.events) if each.place and own]
                self._measures.tracer.committed(traced, begun=begun)
            return appended


async def _work(group: Sequence[_Entry], unit: UnitOfWork) -> None:
    touched = [entry.touched for entry in group if entry.touched is not None]
    if not touched:
        for entry in group:
            entry.result, entry.drafts = await entry.work(unit)
        return
    shared = SharedUnit(unit)
    await shared.load(touched)
    for entry in group:
        entry.error, entry.drafts = None, ()
        try:
            entry.result, entry.drafts = await entry.work(shared)
        except Exception as error:  # noqa: BLE001 - its caller is told
            shared.forget()
            entry.error = error
        else:
            shared.keep()
    await shared.save()


async def _record(group: Sequence[_Entry], unit: UnitOfWork, events: Sequence[Event]) -> None:
    deeds = [(entry.actor, own) for entry, own in _shares(group, events) if entry.actor is not None and own]
    if deeds:
        await unit.record(deeds)


def _shares(group: Sequence[_Entry], events: Sequence[Event]) -> Iterator[tuple[_Entry, Sequence[Event]]]:
    """Give each unit its own of the events that a group appended."""
    for entry in group:
        own, events = events[: len(entry.drafts)], events[len(entry.drafts) :]
        yield entry, own


def _log_failure(done: asyncio.Future[Any]) -> None:
    if not done.cancelled() and (error := done.exception()) and not isinstance(error, FluxoraError):
        _logger.error("write_failed", exc_info=error)
