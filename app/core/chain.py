"""What the indexer saw on the chain, and what each such event does to a stream."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple, Protocol

from app.core.errors import Conflict, NotFound
from app.core.event import EventName
from app.core.ports import ChainKey
from app.core.stream import Status, Stream, StreamChange


@dataclass(frozen=True, slots=True)
class Outcome:
    """A stream after a change, what to call that change, and the JSON names of what differs."""

    stream: Stream
    name: EventName
    changed: tuple[str, ...] = ()


class ChainEvent(Protocol):
    """An event of the streaming contract."""

    @property
    def key(self) -> ChainKey:
        """Transaction hash and event index."""

    @property
    def target(self) -> str:
        """Id of the stream it is about."""

    def apply(self, stream: Stream | None, now: datetime) -> Outcome | None:
        """Return what becomes of the stream, which is None while it is unknown; None: nothing changes.

        Raises:
            Conflict: the stream's state does not allow it.
            NotFound: it is about a stream that nobody has told of.

        """


class StreamCreated(NamedTuple):
    """A stream began on the chain, or through the API."""

    target: str
    key: ChainKey
    begin: Callable[[datetime], Stream]
    """Makes the stream, at its time: half of what a repeated event would cost, and it needs none."""

    def apply(self, stream: Stream | None, now: datetime) -> Outcome | None:
        """Leave a stream that exists already as it is."""
        return Outcome(self.begin(now), EventName.CREATED) if stream is None else None


class StreamUpdated(NamedTuple):
    """A stream's status or amounts changed on the chain."""

    target: str
    key: ChainKey
    change: StreamChange

    def apply(self, stream: Stream | None, now: datetime) -> Outcome | None:
        """Refuse a smaller amount than was streamed already: it never becomes less, so this event came late."""
        known = _known(stream, self.target)
        streamed = self.change.streamed_amount
        if streamed is not None and Decimal(streamed) < Decimal(known.streamed_amount):
            message = f"out of order: {known.streamed_amount} is streamed already, which never becomes less"
            raise Conflict(message, field="streamedAmount")
        return changed(known, self.change, now, fact=True)


class StreamCancelled(NamedTuple):
    """A stream was cancelled on the chain."""

    target: str
    key: ChainKey

    def apply(self, stream: Stream | None, now: datetime) -> Outcome | None:
        """Cancel it, for good."""
        return changed(_known(stream, self.target), StreamChange(status=Status.CANCELLED), now, fact=True)


def changed(stream: Stream, change: StreamChange, now: datetime, *, fact: bool = False) -> Outcome | None:
    """Return the outcome of a change to a known stream; None: it is so already. Raises Conflict.

    `fact`: it happened on the chain already.
    """
    after, names = stream.changed_by(change, now, fact=fact)
    if not names:
        return None
    cancelled = "status" in names and after.status is Status.CANCELLED
    return Outcome(after, EventName.CANCELLED if cancelled else EventName.UPDATED, names)


def _known(stream: Stream | None, stream_id: str) -> Stream:
    if stream is None:
        message = f"out of order: no stream {stream_id} is known; send its StreamCreated first"
        raise NotFound(message)
    return stream
