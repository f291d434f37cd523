"""A log and a store in memory that can do what databases do to us: hang, fail, lie about a commit, lose their tail."""

import asyncio
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import orjson

from app.chain.reader import ConfiguredReader
from app.core.access.ports import Actor
from app.core.chain_port import ParkedItem, StoredOutage, StoredPosition
from app.core.cursor import Cursor
from app.core.errors import CursorExpired, Unavailable, WriteCollision
from app.core.event import Draft, Event
from app.core.filter import EventFilter
from app.core.hub import Hub
from app.core.outages import Outages
from app.core.ports import (
    Appended,
    ChainKey,
    IdempotencyKey,
    Position,
    Replay,
    StreamPage,
    StreamQuery,
    sorted_unique,
)
from app.core.relay import Relay
from app.core.stream import Stream
from app.core.stream_service import StreamService
from app.core.subscriptions import Feed

_LOCK_TIMEOUT = 2.0


@dataclass(frozen=True)
class Row:
    seq: int
    name: str
    stream_id: str
    sender: str
    recipient: str
    body: bytes
    contract_id: str | None = None
    cause: str | None = None
    parties: tuple[str, ...] = ()

    def event(self, epoch: str) -> Event:
        return Event.committed(
            epoch, self.seq, self.name, self.stream_id, self.sender, self.recipient, self.body,
            self.contract_id, self.cause, self.parties,
        )  # fmt: skip


def row(
    seq: int,
    *,
    name: str = "stream.created",
    stream_id: str = "stream-1",
    sender: str = "a",
    recipient: str = "b",
    size: int = 0,
    contract_id: str | None = None,
    cause: str | None = None,
    parties: tuple[str, ...] = (),
) -> Row:
    body = orjson.dumps({"event": name, "streamId": stream_id, "seq": seq, "padding": "x" * size})
    return Row(seq, name, stream_id, sender, recipient, body, contract_id, cause, parties)


class MemoryLog:
    """The log as every process sees it. `histories` has all that was ever committed, for tests to compare with."""

    def __init__(self, epoch: str = "one") -> None:
        self.epoch = epoch
        self.floor = 0
        self.drawn = 0
        self.rows: list[Row] = []
        self.histories: dict[str, list[Event]] = {epoch: []}
        self.reachable = True
        self.open = asyncio.Event()
        self.open.set()
        self.lock = asyncio.Lock()
        self.reads: list[int] = []
        self.looks = 0

    @property
    def head(self) -> int:
        return max(self.rows[-1].seq if self.rows else 0, self.floor)

    async def position(self) -> Position:
        self.looks += 1
        await self._reach()
        return Position(self.epoch, self.head, self.floor)

    async def read(self, after: Cursor, upto: int, wanted: EventFilter, limit: int) -> list[Event]:
        self.reads.append(after.seq)
        await self._reach()
        events = (row.event(after.epoch) for row in self.rows if after.seq < row.seq <= upto)
        found = [event for event in events if wanted.matches(event)][:limit]
        await asyncio.sleep(0)
        if self.floor > after.seq:
            raise CursorExpired("pruned")
        return found

    def draw(self) -> int:
        self.drawn += 1
        return self.drawn

    def commit(self, *rows: Row) -> list[Event]:
        """Make rows true at once, as another process would."""
        self.drawn = max(self.drawn, *(row.seq for row in rows))
        self.rows += rows
        events = [row.event(self.epoch) for row in rows]
        self.histories[self.epoch] += events
        return events

    def add(self, count: int = 1, **fields) -> list[Event]:
        return self.commit(*(row(self.draw(), **fields) for _ in range(count)))

    def prune(self, floor: int) -> None:
        """Forget the events up to `floor`, but never the newest."""
        going = [row for row in self.rows[:-1] if row.seq <= floor]
        if going:
            del self.rows[: len(going)]
            self.floor = going[-1].seq

    def fail_over(self, epoch: str, *, losing: int = 0) -> None:
        """Go on as another history, on a server that had not got the newest rows; it draws their ids again."""
        del self.rows[max(1, len(self.rows) - losing) :]
        self.epoch = epoch
        self.drawn = self.head
        self.lock = asyncio.Lock()
        self.histories[epoch] = [row.event(epoch) for row in self.rows]

    async def _reach(self) -> None:
        await asyncio.sleep(0)
        await self.open.wait()
        if not self.reachable:
            raise Unavailable("the database cannot be reached")


class MemoryStore:
    """Units of work on a log. `faults` are what the next commits meet, in turn.

    `lost`: it fails and is undone; `unknown`: it fails and is done all the same; `late`: it fails, and is done when
    `finish_late` says so; `collision`: another writer was first; `ok`.
    """

    def __init__(self, log: MemoryLog) -> None:
        self.log = log
        self.streams: dict[str, Stream] = {}
        self.chain: set[ChainKey] = set()
        self.replays: dict[str, Replay] = {}
        self.faults: deque[str] = deque()
        self.late: list[MemoryUnit] = []
        self.units = 0
        self.recorded: list[tuple[str, str]] = []
        self.open = asyncio.Event()
        self.open.set()
        self._row_locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    @asynccontextmanager
    async def begin(self) -> AsyncIterator["MemoryUnit"]:
        self.units += 1
        await asyncio.sleep(0)
        if not self.log.reachable:
            raise Unavailable("the database cannot be reached")
        unit = MemoryUnit(self)
        try:
            yield unit
        finally:
            await asyncio.sleep(0)
            if unit not in self.late:
                await unit.locks.aclose()

    async def get(self, stream_id: str) -> Stream | None:
        return self.streams.get(stream_id)

    async def page(self, query: StreamQuery) -> StreamPage:
        raise NotImplementedError

    async def parked(self, after: int, limit: int) -> list[ParkedItem]:
        raise NotImplementedError

    async def parked_count(self) -> int:
        return 0

    async def chain_position(self, contract_set: str) -> StoredPosition:
        return StoredPosition()

    async def chain_outages(self) -> list[StoredOutage]:
        return []

    def row_lock(self, stream_id: str) -> asyncio.Lock:
        return self._row_locks[stream_id]

    async def finish_late(self) -> None:
        """Let the commits that were reported as failed succeed."""
        late, self.late = self.late, []
        for unit in late:
            if unit.log_lock is self.log.lock:
                unit.apply()
            await unit.locks.aclose()


class MemoryUnit:
    def __init__(self, store: MemoryStore) -> None:
        self.locks = AsyncExitStack()
        self._held: set[asyncio.Lock] = set()
        self.log_lock: asyncio.Lock | None = None
        self._store = store
        self._log_lock_at_begin = store.log.lock
        self._streams: dict[str, Stream] = {}
        self._chain: list[ChainKey] = []
        self._replays: dict[str, Replay] = {}
        self._rows: list[Row] = []

    @property
    def chain(self):
        raise NotImplementedError

    async def lock(self, ids: Collection[str]) -> dict[str, Stream]:
        for stream_id in sorted_unique(ids):
            await self._acquire(self._store.row_lock(stream_id))
        await asyncio.sleep(0)
        known = {**self._store.streams, **self._streams}
        return {key: known[key] for key in ids if key in known}

    async def insert(self, streams: Sequence[Stream]) -> None:
        await self.update(streams)

    async def update(self, streams: Sequence[Stream]) -> None:
        await asyncio.sleep(0)
        self._streams.update((stream.id, stream) for stream in streams)

    async def seen(self, keys: Collection[ChainKey]) -> set[ChainKey]:
        await asyncio.sleep(0)
        return (self._store.chain | set(self._chain)) & set(keys)

    async def mark_seen(self, keys: Sequence[ChainKey]) -> None:
        for key in sorted(keys):
            await self._acquire(self._store.row_lock(f"chain event {key}"))
        if self._store.chain & set(keys):
            raise WriteCollision
        self._chain += keys

    async def recall(self, keys: Collection[str]) -> dict[str, Replay]:
        await asyncio.sleep(0)
        known = {**self._store.replays, **self._replays}
        return {key: known[key] for key in keys if key in known}

    async def remember(self, key: IdempotencyKey, body: bytes) -> None:
        await self._acquire(self._store.row_lock(f"idempotency key {key.key}"))
        if key.key in self._store.replays:
            raise WriteCollision
        self._replays[key.key] = Replay(key.fingerprint, body)

    async def record(self, deeds: Sequence[tuple[Actor, Sequence[Event]]]) -> None:
        self._store.recorded += [(actor.principal, event.stream_id) for actor, events in deeds for event in events]

    async def append(self, drafts: Sequence[Draft]) -> Appended:
        log = self._store.log
        self.log_lock = log.lock
        await self._acquire(log.lock)
        self._check_connection()
        after = Cursor(log.epoch, log.head)
        self._rows = [
            Row(
                log.draw(),
                draft.name,
                draft.stream.id,
                draft.stream.sender,
                draft.stream.recipient,
                draft.body(),
                draft.stream.contract_id,
                draft.cause,
                tuple(draft.parties),
            )
            for draft in drafts
        ]
        await asyncio.sleep(0)
        return Appended(after, [row.event(after.epoch) for row in self._rows])

    async def commit(self) -> None:
        await self._store.open.wait()
        await asyncio.sleep(0)
        self._check_connection()
        fault = self._store.faults.popleft() if self._store.faults else "ok"
        if isinstance(fault, Exception):
            raise fault
        if fault in {"ok", "unknown"}:
            self.apply()
        elif fault == "late":
            self._store.late.append(self)
        elif fault == "collision":
            raise WriteCollision
        await asyncio.sleep(0)
        if fault != "ok":
            raise Unavailable("the connection was lost in the commit")

    def apply(self) -> None:
        if self._rows:
            self._store.log.commit(*self._rows)
        self._store.streams.update(self._streams)
        self._store.chain.update(self._chain)
        self._store.replays.update(self._replays)

    async def _acquire(self, lock: asyncio.Lock) -> None:
        if lock in self._held:  # a transaction does not wait for itself
            return
        try:
            async with asyncio.timeout(_LOCK_TIMEOUT):
                await self.locks.enter_async_context(lock)
            self._held.add(lock)
        except TimeoutError:
            raise Unavailable("the database is too busy") from None

    def _check_connection(self) -> None:
        if not self._store.log.reachable or self._log_lock_at_begin is not self._store.log.lock:
            raise Unavailable("the connection was lost")


class Process:
    """One process of the service, without its edges."""

    def __init__(self, store: MemoryStore, *, ring_events: int = 8, ring_bytes: int = 1 << 20) -> None:
        self.store, self.log = store, store.log
        self.ring_events = ring_events
        self.hub = Hub(ring_events=ring_events, ring_bytes=ring_bytes)
        self.outages = Outages(self.hub)
        self.relay = Relay(self.hub, self.log, self.outages, poll_seconds=1.0)
        self.feed = Feed(self.hub, self.log, self.outages, look_soon=self.relay.look_soon, replay_concurrency=2)
        self.streams = StreamService(
            store, self.relay, timeout=10.0, reader=ConfiguredReader({}), alarm=lambda *_: None
        )
        self._running: asyncio.Task[None] | None = None

    async def start(self) -> "Process":
        await self.relay.warm_up(self.ring_events)
        self._running = asyncio.create_task(self.relay.run())
        return self

    def kill(self) -> None:
        """End it as a signal would that nobody catches."""
        if self._running:
            self._running.cancel()
        for task in self.streams._writer._runners:
            task.cancel()
