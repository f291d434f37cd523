"""What the service does with streams: creates, changes, takes in what happened on the chain."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import orjson

from app.core.access.grant import Limit
from app.core.chain import ChainEvent, Outcome, changed
from app.core.chain_port import ChainReader, RawItem
from app.core.changes import Changes, Ingested, draft_of
from app.core.clock import Clock, utc_now
from app.core.contract.audit import StreamRecord
from app.core.contract.place import Hint
from app.core.encoding import encode
from app.core.errors import Conflict, IdempotencyMismatch, NotFound, PreconditionFailed
from app.core.event import Draft, Event, EventName
from app.core.ingest_batch import IngestBatch, glances_of, take_waiting
from app.core.measures import Measures
from app.core.ports import ChainKey, IdempotencyKey, Rows, Store
from app.core.precondition import Precondition
from app.core.raw_entry import waiting_entry
from app.core.reconciliation import reconcile
from app.core.relay import Relay
from app.core.shared_unit import Touched
from app.core.stream import Status, Stream, StreamChange
from app.core.writer import Writer

Also = Callable[[Rows], Awaitable[None]]
"""What a caller does in the same transaction; the store's units have the connection for it."""


@dataclass(frozen=True, slots=True)
class Created:
    """The answer to a creation: the stream's JSON and id, and whether it answered an earlier, same request."""

    body: bytes
    stream_id: str
    replayed: bool


class StreamService:
    """Creates, changes and ingests. Each call is one transaction, finished and published whatever its caller does."""

    def __init__(
        self,
        store: Store,
        relay: Relay,
        *,
        timeout: float,
        reader: ChainReader,
        alarm: Callable[[str, str | None], None],
        clock: Clock = utc_now,
        transactions: int = 1,
        measures: Measures | None = None,
    ) -> None:
        """`timeout`: seconds after which a caller is told that the outcome is unknown; the write itself goes on.

        `reader` reads the chain's items. `alarm` is told of the contracts' emergencies: source, and reason or None.
        """
        self._reader = reader
        self._alarm = alarm
        self._writer = Writer(store, relay, timeout=timeout, transactions=transactions, measures=measures or Measures())
        self._clock = clock

    async def create(self, stream: Stream, chain_key: ChainKey | None, idempotency: IdempotencyKey | None) -> Created:
        """Create a stream.

        Raises:
            Conflict: it exists.
            IdempotencyMismatch: the key stands for another request.

        """

        async def work(unit: Rows) -> tuple[Created, Sequence[Draft]]:
            if idempotency and (replay := (await unit.recall([idempotency.key])).get(idempotency.key)):
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

        touched = Touched(stream.id, chain_key, idempotency.key if idempotency else None)
        result, _ = await self._writer.write(work, touched)
        return result

    async def update(
        self, stream_id: str, change: StreamChange, expected: Precondition | None = None, reach: Limit | None = None
    ) -> Stream:
        """Change a stream whose version `expected` allows (None: any), if it is within `reach` (None: all are).

        Returns the stream afterwards, unchanged if it was so already: then there is no event.

        Raises:
            NotFound: there is no such stream.
            PreconditionFailed: it is at another version.
            Conflict: its state does not allow the change.
            Unavailable: the database cannot be reached or is too slow; the outcome is then unknown.

        """

        def apply(stream: Stream, now: datetime) -> Outcome | None:
            _check(expected, stream.version)
            _refuse_chain(stream)
            return changed(stream, change, now)

        return await self._change(stream_id, apply, reach)

    async def cancel(self, stream_id: str, expected: Precondition | None = None, reach: Limit | None = None) -> Stream:
        """Cancel a stream; one that is cancelled already stays as it is. Raises as `update` does.

        A repeated request names the version before the first one's cancel; it asks for what is done already.
        """

        def apply(stream: Stream, now: datetime) -> Outcome | None:
            _refuse_chain(stream)
            done = stream.status is Status.CANCELLED
            if not (done and expected is not None and expected.allows(stream.version - 1)):
                _check(expected, stream.version)
            return None if done else changed(stream, StreamChange(status=Status.CANCELLED), now)

        return await self._change(stream_id, apply, reach)

    async def _change(
        self, stream_id: str, apply: Callable[[Stream, datetime], Outcome | None], reach: Limit | None
    ) -> Stream:

        async def work(unit: Rows) -> tuple[Stream, Sequence[Draft]]:
            stream = (await unit.lock([stream_id])).get(stream_id)
            if stream is None or not (reach is None or reach.shows(stream)):
                message = f"there is no stream {stream_id}"
                raise NotFound(message)
            now = self.now()
            outcome = apply(stream, now)
            if outcome is None:
                return stream, ()
            await unit.update([outcome.stream])
            return outcome.stream, [draft_of(outcome, now)]

        result, _ = await self._writer.write(work, Touched(stream_id))
        return result

    async def ingest(
        self, events: Sequence[ChainEvent | RawItem], hints: Sequence[Hint] = (), also: Also | None = None
    ) -> list[Ingested]:
        """Take a batch in one transaction, and say of each event what became of it, in the order of `events`.

        Seed events are applied in their order, then items of `getEvents` in the chain's. `also` is awaited first in the
        same transaction: what it raises undoes all, and is raised here. It is called again when the transaction has to
        be repeated (WriteCollision).
        """
        glances = await glances_of(self._reader, events, hints)

        async def work(unit: Rows) -> tuple[IngestBatch, Sequence[Draft]]:
            if also is not None:
                await also(unit)
            batch = IngestBatch(events, glances, self._reader, self.now())
            await batch.take(unit)
            return batch, batch.changes.drafts

        return self._finish(*await self._writer.write(work, _only(events) if also is None else None))

    async def ingest_raw(self, items: Sequence[RawItem], also: Also | None = None) -> list[Ingested]:
        """Take items of `getEvents` as they are; see `ingest`."""
        return await self.ingest(items, also=also)

    async def known_chain_streams(self, contract_id: str) -> dict[int, bool]:
        """Return the contract's streams by their numbers: whether it still has a record of one, as far as is known."""

        async def work(unit: Rows) -> tuple[dict[int, bool], Sequence[Draft]]:
            return await unit.chain.known_streams(contract_id), ()

        known, _ = await self._writer.write(work)
        return known

    async def reconcile(self, contract_id: str, records: Sequence[StreamRecord], upto: int) -> int:
        """Put streams right by the contract's own records, which have all up to a ledger; returns how many differed."""

        async def work(unit: Rows) -> tuple[int, Sequence[Draft]]:
            changes = Changes(self.now())
            begun = await reconcile(unit, changes, self._reader.contracts[contract_id], records, upto)
            return len(changes.drafts), changes.drafts + await take_waiting(unit, self._reader, begun, changes.now)

        differed, _ = await self._writer.write(work)
        return differed

    async def retry(self, parked_id: int) -> Ingested:
        """Try an item again that waits. Raises NotFound."""

        async def work(unit: Rows) -> tuple[IngestBatch, Sequence[Draft]]:
            item = await unit.chain.parked(parked_id)
            if item is None:
                message = f"no parked item {parked_id} waits"
                raise NotFound(message)
            batch = IngestBatch((), (), self._reader, self.now(), waiting_entry(self._reader, item))
            await batch.take(unit)
            return batch, batch.changes.drafts

        return self._finish(*await self._writer.write(work))[0]

    def _finish(self, batch: IngestBatch, committed: Sequence[Event]) -> list[Ingested]:
        batch.changes.committed(committed)
        for source, reason in batch.raw.alarms.items():
            self._alarm(source, reason)
        return batch.results

    @property
    def writes_in_hand(self) -> int:
        """How many writes were begun and are not done."""
        return self._writer.running

    async def drain(self) -> None:
        """Refuse further writes, and wait for those in hand."""
        await self._writer.drain()

    def now(self) -> datetime:
        """Return the present time, aware, in UTC."""
        return self._clock()


def _only(events: Sequence[ChainEvent | RawItem]) -> Touched | None:
    """Return what a single seed event touches; what the chain's own items touch is known later."""
    if len(events) != 1 or isinstance(events[0], Mapping):
        return None
    return Touched(events[0].target, events[0].key)


def _refuse_chain(stream: Stream) -> None:
    if stream.chain_stream_id is not None:
        message = f"it belongs to the chain, as stream {stream.chain_stream_id} of its contract: only events change it"
        raise Conflict(message, field="chainStreamId")


def _check(expected: Precondition | None, version: int) -> None:
    if expected is not None and not expected.allows(version):
        message = f"the stream is at version {version}, which the request's precondition does not allow"
        raise PreconditionFailed(message)
