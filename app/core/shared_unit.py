"""A unit of work that several callers share: read at once before them, written at once after them."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field

from app.core.chain_port import ChainTables
from app.core.ports import ChainKey, IdempotencyKey, Replay, Rows
from app.core.stream import Stream


@dataclass(frozen=True, slots=True)
class Touched:
    """All that a caller's work looks at: one stream, and perhaps the chain event and the key that it comes by."""

    stream_id: str
    chain_key: ChainKey | None = None
    idempotency_key: str | None = None


@dataclass(slots=True)
class _Written:
    """What was written, and is not in the database yet."""

    new: dict[str, Stream] = field(default_factory=dict)
    changed: dict[str, Stream] = field(default_factory=dict)
    seen: dict[ChainKey, None] = field(default_factory=dict)
    remembered: dict[str, tuple[IdempotencyKey, bytes]] = field(default_factory=dict)

    def add(self, other: "_Written") -> None:
        """Take what was written after this."""
        self.new |= other.new
        for stream_id, stream in other.changed.items():
            (self.new if stream_id in self.new else self.changed)[stream_id] = stream
        self.seen |= other.seen
        self.remembered |= other.remembered


class SharedUnit:
    """The core's `Rows` for one caller after the other, each of whom sees what those before have written.

    A caller's writes count from `keep` on; without it they are forgotten, so one who is refused is refused alone. What
    a database would refuse of them, the callers' own work refuses before: it asks first.
    """

    def __init__(self, unit: Rows) -> None:
        """Work on a transaction that is open."""
        self._unit = unit
        self._streams: dict[str, Stream] = {}
        self._seen: set[ChainKey] = set()
        self._replays: dict[str, Replay] = {}
        self._written = _Written()
        self._own = _Written()

    async def load(self, touched: Sequence[Touched]) -> None:
        """Read what all of them will look at. A chain event that was taken needs no stream: repeats stay cheap."""
        unit = self._unit
        keys = {each.chain_key for each in touched if each.chain_key is not None}
        recalled = {each.idempotency_key for each in touched if each.idempotency_key is not None}
        self._seen = await unit.seen(keys) if keys else set()
        self._replays = await unit.recall(recalled) if recalled else {}
        self._streams = await unit.lock({each.stream_id for each in touched if each.chain_key not in self._seen})

    def keep(self) -> None:
        """Let a caller's writes count."""
        self._written.add(self._own)
        self._own = _Written()

    def forget(self) -> None:
        """Undo a caller's writes."""
        self._own = _Written()

    async def save(self) -> None:
        """Write all of it."""
        unit, written = self._unit, self._written
        if written.new:
            await unit.insert(list(written.new.values()))
        if written.changed:
            await unit.update(list(written.changed.values()))
        if written.seen:
            await unit.mark_seen(list(written.seen))
        # In one order, as streams are locked: two groups with the same keys must not wait in a circle.
        for _, (key, body) in sorted(written.remembered.items()):
            await unit.remember(key, body)

    async def lock(self, ids: Collection[str]) -> dict[str, Stream]:
        """Return the streams that exist."""
        known = (self._written.new, self._written.changed, self._own.new, self._own.changed)
        found = {}
        for stream_id in ids:
            stream = _last(stream_id, (self._streams, *known))
            if stream is not None:
                found[stream_id] = stream
        return found

    async def insert(self, streams: Sequence[Stream]) -> None:
        """Store new streams."""
        self._own.new.update((stream.id, stream) for stream in streams)

    async def update(self, streams: Sequence[Stream]) -> None:
        """Store changed streams."""
        self._own.changed.update((stream.id, stream) for stream in streams)

    async def seen(self, keys: Collection[ChainKey]) -> set[ChainKey]:
        """Return the chain events among these that were taken before."""
        return {key for key in keys if key in self._seen or key in self._written.seen or key in self._own.seen}

    async def mark_seen(self, keys: Sequence[ChainKey]) -> None:
        """Remember chain events for good."""
        self._own.seen.update(dict.fromkeys(keys))

    async def recall(self, keys: Collection[str]) -> dict[str, Replay]:
        """Return the answers that were given under these idempotency keys."""
        written = {**self._written.remembered, **self._own.remembered}
        given = {name: Replay(key.fingerprint, body) for name, (key, body) in written.items()}
        return {key: replay for key, replay in {**self._replays, **given}.items() if key in keys}

    async def remember(self, key: IdempotencyKey, body: bytes) -> None:
        """Keep the answer."""
        self._own.remembered[key.key] = (key, body)

    @property
    def chain(self) -> ChainTables:
        """What is kept of the contracts: nobody who shares needs it."""
        return self._unit.chain


def _last(stream_id: str, written: Iterable[dict[str, Stream]]) -> Stream | None:
    found = None
    for each in written:
        found = each.get(stream_id, found)
    return found
