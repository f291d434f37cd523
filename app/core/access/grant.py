"""What somebody may do, and which streams somebody may read."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Final, Self

from app.core.event import Event
from app.core.filter import EventFilter, FilterKey, Wanted
from app.core.stream import Stream


class Scope(StrEnum):
    """A right."""

    STREAMS_READ = "streams:read"
    STREAMS_WRITE = "streams:write"
    EVENTS_WRITE = "events:write"
    SERVICE_WRITE = "service:write"
    ADMIN = "admin"
    AUDIT_READ = "audit:read"


ALL_SCOPES: Final = frozenset(Scope)


@dataclass(frozen=True, slots=True)
class Limit:
    """The streams that somebody may read: one field that fits is enough. Without any field: none.

    `own` are addresses that send or receive, `stream_ids` streams' ids, `contracts` contracts.
    """

    own: frozenset[str] = frozenset()
    stream_ids: frozenset[str] = frozenset()
    contracts: frozenset[str] = frozenset()

    def admits(self, event: Event) -> bool:
        """Tell whether an event may be read. Who was the recipient until now may read that he is it no more."""
        return (
            not self.own.isdisjoint((event.sender, event.recipient, *event.parties))
            or event.stream_id in self.stream_ids
            or event.contract_id in self.contracts
        )

    def shows(self, stream: Stream) -> bool:
        """Tell whether a stream may be read."""
        return (
            not self.own.isdisjoint((stream.sender, stream.recipient))
            or stream.id in self.stream_ids
            or stream.contract_id in self.contracts
        )

    def keys(self) -> Iterator[FilterKey]:
        """Yield the hub's index keys of every event that may be read, each once."""
        yield from (("participant", each) for each in self.own)
        yield from (("streamId", each) for each in self.stream_ids)
        yield from (("contractId", each) for each in self.contracts)

    def to_json(self) -> dict[str, list[str]]:
        """Return the fields that are set."""
        fields = {"own": self.own, "streamIds": self.stream_ids, "contracts": self.contracts}
        return {name: sorted(values) for name, values in fields.items() if values}

    @classmethod
    def from_json(cls, given: dict[str, list[str]]) -> Self:
        """Return the limit that `to_json` wrote."""
        return cls(*(frozenset(given.get(name, ())) for name in ("own", "streamIds", "contracts")))


@dataclass(frozen=True, slots=True)
class Narrowed:
    """What a client chose, within what it may read. Equal ones are one group of the hub."""

    limit: Limit
    chosen: Wanted

    def matches(self, event: Event) -> bool:
        """Tell whether the event is wanted and may be read."""
        return self.limit.admits(event) and self.chosen.matches(event)

    def keys(self) -> Iterator[FilterKey]:
        """Yield the keys of the narrower one: an event under it need not be held against all the others."""
        chosen = list(self.chosen.keys())
        if chosen and all(name == "streamId" for name, _ in chosen):
            yield from chosen
        else:
            yield from self.limit.keys()

    def in_log(self) -> EventFilter:
        """Return the narrowest filter that the log knows and that leaves out nothing."""
        asked = self.chosen.in_log()
        limit = self.limit
        fields = {"participants": limit.own, "stream_ids": limit.stream_ids, "contracts": limit.contracts}
        [*given] = [(name, values) for name, values in fields.items() if values]
        if len(given) != 1:
            return asked
        [(name, values)] = given
        known: frozenset[str] = getattr(asked, name)
        # An event has two participants: the one that was chosen may be another than the one that may read it.
        both = known & values if name != "participants" else frozenset()
        # What is in neither would match no event; an empty field would match all.
        return replace(asked, **{name: both or values})

    def to_json(self) -> dict[str, Any]:
        """Return what the client chose."""
        return self.chosen.to_json()


def narrowed(wanted: Wanted, limit: Limit | None) -> Wanted:
    """Return what a client chose, within a limit; None: within all."""
    chosen = chosen_of(wanted)
    return chosen if limit is None else Narrowed(limit, chosen)


def kept_within(wanted: Wanted, before: Wanted) -> Wanted:
    """Return what a client chooses now, within the limit that it had before."""
    return narrowed(wanted, before.limit if isinstance(before, Narrowed) else None)


def chosen_of(wanted: Wanted) -> Wanted:
    """Return what a client chose, whatever it may read."""
    return wanted.chosen if isinstance(wanted, Narrowed) else wanted
