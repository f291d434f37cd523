"""Which events a subscription wants, and the index keys under which to look for it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, Protocol

from app.core.event import Event

FilterKey = tuple[str, str]


class Wanted(Protocol):
    """What a subscription chooses by. Equal ones are one group: what is sent to them is made once."""

    def __hash__(self) -> int:
        """Return the same for equal ones."""

    def matches(self, event: Event) -> bool:
        """Tell whether the event is wanted."""

    def keys(self) -> Iterator[FilterKey]:
        """Yield the index keys of every event that may be wanted."""

    def in_log(self) -> "EventFilter":
        """Return the narrowest filter that the log knows and that leaves out nothing that is wanted."""

    def to_json(self) -> dict[str, Any]:
        """Return what a client is shown: `filter`, or `filters` if there are several."""


@dataclass(frozen=True, slots=True)
class EventFilter:
    """One filter: OR within a field, AND across fields, an empty field wants all."""

    stream_ids: frozenset[str] = frozenset()
    senders: frozenset[str] = frozenset()
    recipients: frozenset[str] = frozenset()
    events: frozenset[str] = frozenset()
    participants: frozenset[str] = frozenset()
    contracts: frozenset[str] = frozenset()
    causes: frozenset[str] = frozenset()

    def matches(self, event: Event) -> bool:
        """Tell whether the event is wanted."""
        return (
            (not self.stream_ids or event.stream_id in self.stream_ids)
            and (not self.senders or event.sender in self.senders)
            and (not self.recipients or _meets(self.recipients, event.recipient, *event.parties))
            and (not self.events or event.name in self.events)
            and (not self.participants or _meets(self.participants, event.sender, event.recipient, *event.parties))
            and (not self.contracts or event.contract_id in self.contracts)
            and (not self.causes or event.cause in self.causes)
        )

    def keys(self) -> Iterator[FilterKey]:
        """Yield the index keys of its most selective field, or the one of all."""
        for name, values in self._by_selectivity():
            if values:
                yield from ((name, value) for value in values)
                return
        yield EVERYTHING

    def in_log(self) -> "EventFilter":
        """Return itself: the log knows every field."""
        return self

    def fields(self) -> dict[str, list[str]]:
        """Return the filter as a client would write it."""
        return {name: sorted(values) for name, values in self._by_selectivity() if values}

    def to_json(self) -> dict[str, Any]:
        """Return what a client is shown."""
        return {"filter": self.fields()}

    def _by_selectivity(self) -> tuple[tuple[str, frozenset[str]], ...]:
        return (
            ("streamId", self.stream_ids),
            ("recipient", self.recipients),
            ("sender", self.senders),
            ("participant", self.participants),
            ("contractId", self.contracts),
            ("cause", self.causes),
            ("event", self.events),
        )


@dataclass(frozen=True, slots=True)
class AnyOf:
    """Several filters, joined by OR."""

    filters: tuple[EventFilter, ...]

    def matches(self, event: Event) -> bool:
        """Tell whether one of them wants the event."""
        return any(each.matches(event) for each in self.filters)

    def keys(self) -> Iterator[FilterKey]:
        """Yield the index keys of all, each once."""
        yield from {key for each in self.filters for key in each.keys()}  # noqa: SIM118 - not a mapping

    def in_log(self) -> EventFilter:
        """Return a field that all of them have, with the values of all; else a filter that wants everything."""
        first = self.filters[0]
        for name in first.__slots__:
            values = [getattr(each, name) for each in self.filters]
            if all(values):
                return EventFilter(**{name: frozenset().union(*values)})
        return EventFilter()

    def to_json(self) -> dict[str, Any]:
        """Return what a client is shown."""
        return {"filters": [each.fields() for each in self.filters]}


EVERYTHING: Final[FilterKey] = ("", "")
UNFILTERED: Final = EventFilter()


def keys_of(event: Event) -> tuple[FilterKey, ...]:
    """Return the index keys under which a filter that wants this event is found, each once.

    Who was the recipient until now hears of it as the new one does.
    """
    recipients = dict.fromkeys((event.recipient, *event.parties))
    keys = [
        EVERYTHING,
        ("streamId", event.stream_id),
        ("sender", event.sender),
        ("event", event.name),
        *(("recipient", address) for address in recipients),
        *(("participant", address) for address in dict.fromkeys((event.sender, *recipients))),
    ]
    if event.contract_id is not None:
        keys.append(("contractId", event.contract_id))
    if event.cause is not None:
        keys.append(("cause", event.cause))
    return tuple(keys)


def _meets(wanted: frozenset[str], *addresses: str) -> bool:
    return not wanted.isdisjoint(addresses)


def any_of(filters: tuple[EventFilter, ...]) -> Wanted:
    """Join filters by OR; the same filter twice is one."""
    distinct = tuple(dict.fromkeys(filters))
    if len(distinct) == 1:
        return distinct[0]
    return EventFilter() if EventFilter() in distinct else AnyOf(distinct)


def filters_of(wanted: Wanted) -> tuple[EventFilter, ...]:
    """Return the filters that are joined in it."""
    if isinstance(wanted, AnyOf):
        return wanted.filters
    return (wanted.in_log(),)
