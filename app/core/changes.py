"""The streams on their way through a batch, and the events that it makes."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from app.core.chain import Outcome
from app.core.clock import timestamp
from app.core.errors import FluxoraError
from app.core.event import Draft, Event
from app.core.ports import ChainKey, Rows
from app.core.stream import Stream


@dataclass(slots=True)
class Ingested:
    """What became of one chain event.

    `action` is created, updated, cancelled, ignored, rejected or parked. `ids` are the events of the log that it made,
    `error` is set when it was rejected, `why` and `message` when it was parked, `message` when it was ignored for a
    reason. An item that cannot be read at all has no `key`, one that is about no stream no `stream_id`.
    """

    key: ChainKey | None
    stream_id: str | None
    action: str
    ids: tuple[str, ...] = ()
    error: FluxoraError | None = None
    why: str | None = None
    message: str | None = None


class Changes:
    """What a batch has done so far, in one transaction."""

    def __init__(self, now: datetime) -> None:
        """`now` is when all of it happens."""
        self.now = now
        self.streams: dict[str, Stream] = {}
        self.seen: set[ChainKey] = set()
        self.taken: list[ChainKey] = []
        self.drafts: list[Draft] = []
        self._tellers: list[Ingested] = []
        self._existing: set[str] = set()
        self._touched: dict[str, None] = {}

    async def load(self, unit: Rows, ids: Collection[str]) -> None:
        """Lock the streams that exist."""
        self.streams = await unit.lock(ids)
        self._existing = set(self.streams)

    def take(self, key: ChainKey) -> None:
        """Remember an event's key for good."""
        if key not in self.seen:
            self.seen.add(key)
            self.taken.append(key)

    def tell(self, draft: Draft, result: Ingested) -> None:
        """Keep a stream's next version, and the event of it."""
        self.streams[draft.stream.id] = draft.stream
        self._touched[draft.stream.id] = None
        self.drafts.append(draft)
        self._tellers.append(result)

    def keep(self, stream: Stream) -> None:
        """Keep a stream of the same version: what differs is shown to nobody."""
        self.streams[stream.id] = stream
        self._touched[stream.id] = None

    async def write(self, unit: Rows) -> None:
        """Store the streams and the keys."""
        await unit.insert([self.streams[key] for key in self._touched if key not in self._existing])
        await unit.update([self.streams[key] for key in self._touched if key in self._existing])
        await unit.mark_seen(self.taken)

    def committed(self, events: Sequence[Event]) -> None:
        """Tell each result the ids of its events."""
        for result, event in zip(self._tellers, events, strict=True):
            result.ids = (*result.ids, event.id)


def draft_of(outcome: Outcome, now: datetime, **chain: Any) -> Draft:
    """Return the event of an outcome."""
    return Draft(outcome.name, outcome.stream, outcome.changed, timestamp(now), **chain)
