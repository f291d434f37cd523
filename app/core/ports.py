"""What the core needs of its surroundings; `app.store` has the real ones, tests have others."""

from collections.abc import Collection, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from app.core.access.grant import Limit
from app.core.access.ports import Actor
from app.core.chain_port import ChainTables, ParkedItem, StoredOutage, StoredPosition
from app.core.cursor import Cursor
from app.core.event import Draft, Event
from app.core.filter import EventFilter
from app.core.stream import Status, Stream

ChainKey = tuple[str, int]
"""Transaction hash and event index: what makes a chain event itself."""


@dataclass(frozen=True, slots=True)
class Position:
    """How far the log goes: `head` is its newest sequence number, and all after `floor` is still there."""

    epoch: str
    head: int
    floor: int

    def at(self, seq: int) -> Cursor:
        """Return a cursor into this history."""
        return Cursor(self.epoch, seq)


@dataclass(frozen=True, slots=True)
class Appended:
    """Events that were appended, and the position they follow: nothing lies between."""

    after: Cursor
    events: Sequence[Event]


@dataclass(frozen=True, slots=True)
class IdempotencyKey:
    """A client's key for one request, and a fingerprint of the request it stands for."""

    key: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Replay:
    """What was answered to a request with this key."""

    fingerprint: str
    body: bytes


class EventLog(Protocol):
    """The log, read. Every method raises Unavailable when the database cannot be reached."""

    async def position(self) -> Position:
        """Return epoch, head and floor as committed now."""

    async def read(self, after: Cursor, upto: int, wanted: EventFilter, limit: int) -> list[Event]:
        """Return at most `limit` wanted events with `after < seq <= upto`, in order.

        Raises:
            CursorExpired: some of them are pruned.

        """


class Follower(Protocol):
    """What a tail tells of commits; the relay is one. Both methods return at once and never raise."""

    def look_soon(self) -> None:
        """Look at the log now: something may have been committed."""

    def offer(self, appended: Appended) -> None:
        """Take events of this log, and the position they follow: every event between it and the last of them.

        May be called with the same events again, or with some left out before them: the log fills gaps.
        """


class Tail(Protocol):
    """Tells of other processes' commits sooner than looking at the log every now and then would.

    It need not be reliable: what it does not tell is found by the next look, so it decides on latency, never on events.
    One that only knows *that* something happened asks for a look; one that carries the events offers them, in order.
    """

    async def run(self, follower: Follower) -> None:
        """Tell the follower, until cancelled; mend whatever breaks, and look_soon after each mending."""


class Rows(Protocol):
    """What a transaction reads and writes before its events."""

    @property
    def chain(self) -> ChainTables:
        """What is kept of the contracts."""

    async def lock(self, ids: Collection[str]) -> dict[str, Stream]:
        """Return the streams that exist, held against other writers until the end."""

    async def insert(self, streams: Sequence[Stream]) -> None:
        """Store new streams. Raises WriteCollision if one exists."""

    async def update(self, streams: Sequence[Stream]) -> None:
        """Store streams that `lock` returned."""

    async def seen(self, keys: Collection[ChainKey]) -> set[ChainKey]:
        """Return the chain events among these that were taken before."""

    async def mark_seen(self, keys: Sequence[ChainKey]) -> None:
        """Remember chain events for good. Raises WriteCollision if one is known."""

    async def recall(self, keys: Collection[str]) -> dict[str, Replay]:
        """Return the answers that were given under these idempotency keys."""

    async def remember(self, key: IdempotencyKey, body: bytes) -> None:
        """Keep the answer. Raises WriteCollision if the key is known."""


class UnitOfWork(Rows, Protocol):
    """One transaction: rows first, then last the events."""

    async def append(self, drafts: Sequence[Draft]) -> Appended:
        """Append to the log, last of all: it takes the log's lock, held through commit."""

    async def record(self, deeds: Sequence[tuple[Actor, Sequence[Event]]]) -> None:
        """Note who asked for what was appended."""

    async def commit(self) -> None:
        """Make all of it true. Any failure leaves the outcome unknown."""


class Store(Protocol):
    """Where units of work come from, and single streams are read."""

    def begin(self) -> AbstractAsyncContextManager[UnitOfWork]:
        """Open a unit of work; leaving it without `commit` undoes it."""

    async def get(self, stream_id: str) -> Stream | None:
        """Return one stream."""

    async def page(self, query: "StreamQuery") -> "StreamPage":
        """Return streams, newest first."""

    async def parked(self, after: int, limit: int) -> list[ParkedItem]:
        """Return at most `limit` of the chain's items that wait, those with ids above `after`, by their ids."""

    async def parked_count(self) -> int:
        """Return how many items wait."""

    async def chain_position(self, contract_set: str) -> StoredPosition:
        """Return how far these contracts were read."""

    async def chain_outages(self) -> list[StoredOutage]:
        """Return what is out of order for every process."""


@dataclass(frozen=True, slots=True)
class StreamQuery:
    """Which streams, and from where. `before` is the `next` of the page before."""

    limit: int
    before: tuple[str, str] | None = None
    statuses: frozenset[Status] = frozenset()
    senders: frozenset[str] = frozenset()
    recipients: frozenset[str] = frozenset()
    participants: frozenset[str] = frozenset()
    contracts: frozenset[str] = frozenset()
    reach: Limit | None = None


@dataclass(frozen=True, slots=True)
class StreamPage:
    """Some streams, and where the rest begins: (created_at, id), or None at the end."""

    streams: Sequence[Stream]
    next: tuple[str, str] | None


def sorted_unique(ids: Iterable[str]) -> list[str]:
    """Return ids in the one order in which every writer locks them, so that none waits in a circle."""
    return sorted(set(ids))
