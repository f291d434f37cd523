"""The write path: one unit of work, then publish."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, TypeVar

import orjson
import structlog

from app.core.chain import ChainEvent, Outcome, changed
from app.core.clock import Clock, timestamp, utc_now
from app.core.encoding import encode
from app.core.errors import (
    Conflict,
    FluxoraError,
    IdempotencyMismatch,
    NotFound,
    PreconditionFailed,
    Unavailable,
    WriteCollision,
)
from app.core.event import Draft, Event, EventName
from app.core.ports import ChainKey, IdempotencyKey, Store, UnitOfWork
from app.core.precondition import Precondition
from app.core.relay import Relay
from app.core.stream import Status, Stream, StreamChange

_ATTEMPTS: Final = 5
_logger = structlog.stdlib.get_logger(__name__)
Result = TypeVar("Result")
Also = Callable[[UnitOfWork], Awaitable[None]]
"""What a caller does in the same transaction; the store's units have the connection for it."""
Work = Callable[[UnitOfWork], Awaitable[tuple[Result, Sequence[Draft]]]]


@dataclass(frozen=True, slots=True)
class Created:
    """The answer to a creation: the stream's JSON and id, and whether it answered an earlier, same request."""

    body: bytes
    stream_id: str
    replayed: bool


@dataclass(slots=True)
class Ingested:
    """What became of one chain event.

    `action` is created, updated, cancelled, ignored, rejected or parked. `ids` are the events of the log that it made,
    `error` is set when it was rejected, `reason` when it was parked or ignored. An item that cannot be read at all has
    no `key`, one that is about no stream no `stream_id`.
    """

    key: ChainKey | None
    stream_id: str | None
    action: str
    ids: tuple[str, ...] = ()
    error: FluxoraError | None = None
    reason: str | None = None


class StreamService:
    """Creates, changes and ingests. Each call is one transaction, finished and published whatever its caller does."""

    def __init__(self, store: Store, relay: Relay, *, timeout: float, clock: Clock = utc_now) -> None:
        """`timeout`: seconds after which a caller is told that the outcome is unknown; the write itself goes on."""
        self._store = store
        self._relay = relay
        self._timeout = timeout
        self._clock = clock
        self._running: set[asyncio.Task[Any]] = set()
        self._draining = False

    async def create(self, stream: Stream, chain_key: ChainKey | None, idempotency: IdempotencyKey | None) -> Created:
        """Create a stream.

        Raises:
            Conflict: it exists.
            IdempotencyMismatch: the key stands for another request.

        """

        async def work(unit: UnitOfWork) -> tuple[Created, Sequence[Draft]]:
            if idempotency and (replay := await unit.recall(idempotency.key)):
                if replay.fingerprint != idempotency.fingerprint:
                    message = "this Idempotency-Key was used for another request"
                    raise IdempotencyMismatch(message)
                return Created(replay.body, orjson.loads(replay.body)["id"], replayed=True), ()
            if await unit.lock([stream.id]) or (chain_key and await unit.seen([chain_key])):
                message = f"the stream {stream.id} exists already, or its chain event is known as another one"
                raise Conflict(message, field="transactionHash")
            body = encode(stream.to_json())
            await unit.insert([stream])
            if chain_key:
                await unit.mark_seen([chain_key])
            if idempotency:
                await unit.remember(idempotency, body)
            draft = Draft(EventName.CREATED, stream, (), stream.created_at)
            return Created(body, stream.id, replayed=False), [draft]

        result, _ = await self._write(work)
        return result

    async def update(self, stream_id: str, change: StreamChange, expected: Precondition | None = None) -> Stream:
        """Change a stream whose version `expected` allows (None: any).

        Returns the stream afterwards, unchanged if it was so already: then there is no event.

        Raises:
            NotFound: there is no such stream.
            PreconditionFailed: it is at another version.
            Conflict: its state does not allow the change.
            Unavailable: the database cannot be reached or is too slow; the outcome is then unknown.

        """

        def apply(stream: Stream, now: datetime) -> Outcome | None:
            _check(expected, stream.version)
            return changed(stream, change, now)

        return await self._change(stream_id, apply)

    async def cancel(self, stream_id: str, expected: Precondition | None = None) -> Stream:
        """Cancel a stream; one that is cancelled already stays as it is. Raises as `update` does.

        A repeated request names the version before the first one's cancel; it asks for what is done already.
        """

        def apply(stream: Stream, now: datetime) -> Outcome | None:
            done = stream.status is Status.CANCELLED
            if not (done and expected is not None and expected.allows(stream.version - 1)):
                _check(expected, stream.version)
            return None if done else changed(stream, StreamChange(status=Status.CANCELLED), now)

        return await self._change(stream_id, apply)

    async def _change(self, stream_id: str, apply: Callable[[Stream, datetime], Outcome | None]) -> Stream:

        async def work(unit: UnitOfWork) -> tuple[Stream, Sequence[Draft]]:
            stream = (await unit.lock([stream_id])).get(stream_id)
            if stream is None:
                message = f"there is no stream {stream_id}"
                raise NotFound(message)
            now = self.now()
            outcome = apply(stream, now)
            if outcome is None:
                return stream, ()
            await unit.update([outcome.stream])
            return outcome.stream, [_draft(outcome, now)]

        result, _ = await self._write(work)
        return result

    async def ingest(self, events: Sequence[ChainEvent]) -> list[Ingested]:
        """Take a batch of chain events in one transaction, and say of each what became of it."""

        async def work(unit: UnitOfWork) -> tuple[_Batch, Sequence[Draft]]:
            batch = _Batch(await unit.seen({event.key for event in events}), self.now())
            batch.streams = await unit.lock({event.target for event in events if event.key not in batch.seen})
            existing = set(batch.streams)
            for event in events:
                batch.take(event)
            await unit.insert([batch.streams[key] for key in batch.touched if key not in existing])
            await unit.update([batch.streams[key] for key in batch.touched if key in existing])
            await unit.mark_seen(batch.taken)
            return batch, batch.drafts

        batch, committed = await self._write(work)
        for result, event in zip((r for r in batch.results if r.action in _CHANGING), committed, strict=True):
            result.ids = (event.id,)
        return batch.results

    async def ingest_raw(self, items: Sequence[Mapping[str, Any]], also: Also | None = None) -> list[Ingested]:
        """Take items of `getEvents` as they are, in one transaction; results are in the order of `items`.

        `also` is awaited first in the same transaction: what it raises undoes all, and is raised here. It may be called
        again when the transaction has to be repeated (WriteCollision).
        """
        raise NotImplementedError

    def now(self) -> datetime:
        """Return the present time, aware, in UTC."""
        return self._clock()

    async def drain(self) -> None:
        """Refuse further writes, and wait for those in hand."""
        self._draining = True
        while self._running:
            await asyncio.wait(self._running)

    async def _write(self, work: Work[Result]) -> tuple[Result, Sequence[Event]]:
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
        async with self._store.begin() as unit:
            result, drafts = await work(unit)
            if not drafts:
                await unit.commit()
                return result, ()
            async with self._relay.turn():
                appended = await unit.append(drafts)
                await unit.commit()
                self._relay.hand_over(appended)
            return result, appended.events


def _log_failure(task: asyncio.Task[Any]) -> None:
    if not task.cancelled() and (error := task.exception()) and not isinstance(error, FluxoraError):
        _logger.error("write_failed", exc_info=error)


_CHANGING: Final = frozenset({"created", "updated", "cancelled"})


class _Batch:
    """A batch of chain events on its way through the streams it touches."""

    def __init__(self, seen: set[ChainKey], now: datetime) -> None:
        self.seen = seen
        self.now = now
        self.streams: dict[str, Stream] = {}
        self.touched: dict[str, None] = {}
        self.taken: list[ChainKey] = []
        self.drafts: list[Draft] = []
        self.results: list[Ingested] = []

    def take(self, event: ChainEvent) -> None:
        """Apply one event after those before it; one that can't be applied leaves no trace."""
        result = Ingested(event.key, event.target, "ignored")
        self.results.append(result)
        if event.key in self.seen:
            return
        try:
            outcome = event.apply(self.streams.get(event.target), self.now)
        except (Conflict, NotFound) as error:
            result.action, result.error = "rejected", error
            return
        self.seen.add(event.key)
        self.taken.append(event.key)
        if outcome is not None:
            result.action = outcome.name.removeprefix("stream.")
            self.streams[event.target] = outcome.stream
            self.touched[event.target] = None
            self.drafts.append(_draft(outcome, self.now))


def _draft(outcome: Outcome, now: datetime) -> Draft:
    return Draft(outcome.name, outcome.stream, outcome.changed, timestamp(now))


def _check(expected: Precondition | None, version: int) -> None:
    if expected is not None and not expected.allows(version):
        message = f"the stream is at version {version}, which the request's precondition does not allow"
        raise PreconditionFailed(message)
