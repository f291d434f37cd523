"""Events of the log: their cursors, their one encoding, and the filters that choose among them."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, Self

import orjson

from app.core.streams import Stream

_CURSOR = re.compile(r"([a-z0-9]{1,32})-(0|[1-9][0-9]{0,17})")


class EventName(StrEnum):
    """What happened to a stream."""

    CREATED = "stream.created"
    UPDATED = "stream.updated"
    CANCELLED = "stream.cancelled"


@dataclass(frozen=True, slots=True)
class Cursor:
    """A position in one history of the log; everything up to and including `seq` has been seen."""

    epoch: str
    seq: int

    def __str__(self) -> str:
        """Return the wire form, `<epoch>-<seq>`; it is also the id of the event at that position."""
        return f"{self.epoch}-{self.seq}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the wire form; raises ValueError."""
        match = _CURSOR.fullmatch(text)
        if match is None:
            message = "must be an event's id, as in `k7f2-1042`"
            raise ValueError(message)
        return cls(match[1], int(match[2]))


@dataclass(frozen=True, slots=True)
class Draft:
    """An event that is not committed yet: it has no place in the log, so no id."""

    name: EventName
    stream: Stream
    changed: tuple[str, ...]
    timestamp: str

    def body(self) -> bytes:
        """Return the event's JSON without its id, which the log draws when it appends."""
        return orjson.dumps(
            {
                "event": self.name,
                "streamId": self.stream.id,
                "version": self.stream.version,
                "payload": self.stream.to_json(),
                "changed": self.changed,
                "timestamp": self.timestamp,
            }
        )


@dataclass(slots=True, eq=False)
class Event:
    """A committed event. `data` is its JSON, the same bytes on every transport.

    `forms` keeps what a transport made of `data`, so that each form is encoded once however many clients get it.
    """

    seq: int
    name: str
    stream_id: str
    sender: str
    recipient: str
    id: str
    data: bytes
    forms: dict[str, bytes] = field(default_factory=dict)

    @classmethod
    def committed(  # noqa: PLR0917 - a row of the log has these columns
        cls, epoch: str, seq: int, name: str, stream_id: str, sender: str, recipient: str, body: bytes
    ) -> Self:
        """Give a body from the log its id."""
        event_id = f"{epoch}-{seq}"
        data = b'{"id":"%b",%b' % (event_id.encode(), body[1:])
        return cls(seq, name, stream_id, sender, recipient, event_id, data)


FilterKey = tuple[str, str]


@dataclass(frozen=True, slots=True)
class EventFilter:
    """Which events a subscription wants: OR within a field, AND across fields, an empty field wants all."""

    stream_ids: frozenset[str] = frozenset()
    senders: frozenset[str] = frozenset()
    recipients: frozenset[str] = frozenset()
    events: frozenset[str] = frozenset()

    def matches(self, event: Event) -> bool:
        """Tell whether the event is wanted."""
        return (
            (not self.stream_ids or event.stream_id in self.stream_ids)
            and (not self.senders or event.sender in self.senders)
            and (not self.recipients or event.recipient in self.recipients)
            and (not self.events or event.name in self.events)
        )

    def keys(self) -> Iterator[FilterKey]:
        """Yield the index keys under which to look for this filter: its most selective field, or the one of all."""
        for name, values in self._by_selectivity():
            if values:
                yield from ((name, value) for value in values)
                return
        yield EVERYTHING

    def to_json(self) -> dict[str, list[str]]:
        """Return the filter as a client would write it."""
        return {name: sorted(values) for name, values in self._by_selectivity() if values}

    def _by_selectivity(self) -> tuple[tuple[str, frozenset[str]], ...]:
        return (
            ("streamId", self.stream_ids),
            ("recipient", self.recipients),
            ("sender", self.senders),
            ("event", self.events),
        )


EVERYTHING: Final[FilterKey] = ("", "")


def keys_of(event: Event) -> tuple[FilterKey, ...]:
    """Return the index keys under which a filter that wants this event is found."""
    return (
        EVERYTHING,
        ("streamId", event.stream_id),
        ("recipient", event.recipient),
        ("sender", event.sender),
        ("event", event.name),
    )
