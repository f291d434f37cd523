"""A batch of chain events on its way through the streams it touches."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from app.core.chain import ChainEvent, Outcome
from app.core.clock import timestamp
from app.core.errors import Conflict, FluxoraError, NotFound
from app.core.event import Draft
from app.core.ports import ChainKey
from app.core.stream import Stream  # noqa: TC001 - with the others

CHANGING: Final = frozenset({"created", "updated", "cancelled"})


@dataclass(slots=True)
class Ingested:
    """What became of one chain event. `event_id` is set when it changed something, `error` when it could not."""

    key: ChainKey
    stream_id: str
    action: str
    event_id: str | None = None
    error: FluxoraError | None = None


class Ingestion:
    """A batch of chain events on its way through the streams it touches."""

    def __init__(self, seen: set[ChainKey], now: datetime) -> None:
        """`seen`: the keys among the events that were taken before; `streams` are to be filled in by the caller."""
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
            self.drafts.append(draft_of(outcome, self.now))


def draft_of(outcome: Outcome, now: datetime) -> Draft:
    """Return the event that an outcome is to become."""
    return Draft(outcome.name, outcome.stream, outcome.changed, timestamp(now))
