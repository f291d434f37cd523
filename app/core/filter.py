"""Which events a subscription wants, and the index keys under which to look for it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from app.core.event import Event

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
