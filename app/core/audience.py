"""Who is live, and which of them an event is for."""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Final

from app.core.event import Event
from app.core.filter import EVERYTHING, FilterKey, Wanted, keys_of
from app.core.listener import Listener

NOBODY: Final[Collection[Listener]] = ()


class Audience:
    """The listeners that are live, by what they want: each has everything up to `flushed`.

    When the hub goes to another position it begins with a new one. Those of the old one are told one after the other;
    until they leave it, it says how far they are.
    """

    __slots__ = ("_groups", "_index", "flushed")

    def __init__(self, flushed: int) -> None:
        """Start with nobody."""
        self.flushed = flushed
        self._groups: dict[Wanted, set[Listener]] = {}
        self._index: defaultdict[FilterKey, set[Wanted]] = defaultdict(set)

    def __iter__(self) -> Iterator[Listener]:
        """Iterate over all of them."""
        return (listener for group in self._groups.values() for listener in group)

    def __len__(self) -> int:
        """Count them."""
        return sum(map(len, self._groups.values()))

    def join(self, listener: Listener, wanted: Wanted) -> None:
        """Take in a listener that has everything up to `flushed`."""
        group = self._groups.get(wanted)
        if group is None:
            group = self._groups[wanted] = set()
            for key in wanted.keys():  # noqa: SIM118 - not a mapping
                self._index[key].add(wanted)
        group.add(listener)

    def leave(self, listener: Listener, wanted: Wanted) -> None:
        """Let a listener go."""
        group = self._groups[wanted]
        group.discard(listener)
        if group:
            return
        del self._groups[wanted]
        for key in wanted.keys():  # noqa: SIM118 - not a mapping
            self._index[key].discard(wanted)
            if not self._index[key]:
                del self._index[key]

    def wanting(self, wanted: Wanted) -> Collection[Listener]:
        """Return those that want just this."""
        return self._groups.get(wanted, NOBODY)

    def chosen(self, events: Sequence[Event]) -> Mapping[Wanted, Sequence[Event]]:
        """Return what is wanted of the events, asking only the filters that the index names."""
        chosen: dict[Wanted, Sequence[Event]] = dict.fromkeys(self._index.get(EVERYTHING, ()), events)
        if len(self._index) <= (EVERYTHING in self._index):
            return chosen
        lists: dict[Wanted, list[Event]] = {}
        for event in events:
            for key in keys_of(event)[1:]:
                for wanted in self._index.get(key, ()):
                    found = lists.setdefault(wanted, [])
                    # Two keys may name the same filter.
                    if (not found or found[-1] is not event) and wanted.matches(event):
                        found.append(event)
        return chosen | {wanted: found for wanted, found in lists.items() if found}
