"""The newest part of the log, in memory."""

from bisect import bisect_right
from collections.abc import Sequence

from app.core.event import Event

_SLACK = 1024
"""Trimmed this many at a time: deleting from the front of a list moves the rest."""


class Ring:
    """Every event with `floor < seq <= head`, in order; bounded by count and by bytes of JSON."""

    def __init__(self, floor: int, *, max_events: int, max_bytes: int) -> None:
        """Start empty at `floor`."""
        self.floor = floor
        self.head = floor
        self._max_events = max_events
        self._max_bytes = max_bytes
        self._events: list[Event] = []
        self._seqs: list[int] = []
        self._bytes = 0

    def __len__(self) -> int:
        """How many events it holds."""
        return len(self._events)

    @property
    def size(self) -> int:
        """Bytes of their JSON."""
        return self._bytes

    def extend(self, events: Sequence[Event]) -> None:
        """Append events that follow the head."""
        self._events.extend(events)
        self._seqs.extend(event.seq for event in events)
        self._bytes += sum(len(event.data) for event in events)
        self.head = self._seqs[-1]
        if len(self._events) > self._max_events + _SLACK or self._bytes > self._max_bytes:
            self._trim()

    def since(self, seq: int, limit: int | None = None) -> Sequence[Event] | None:
        """Return the events after `seq`, at most `limit`; None if the ring does not reach back that far."""
        if seq < self.floor:
            return None
        start = bisect_right(self._seqs, seq)
        return self._events[start : None if limit is None else start + limit]

    def _trim(self) -> None:
        drop = max(0, len(self._events) - self._max_events)
        left = self._bytes - sum(len(event.data) for event in self._events[:drop])
        while left > self._max_bytes and drop < len(self._events):
            left -= len(self._events[drop].data)
            drop += 1
        if drop:
            self.floor = self._seqs[drop - 1]
            self._bytes = left
            del self._events[:drop], self._seqs[:drop]
