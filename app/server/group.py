"""What the workers of one service tell each other: their process ids, how many feeds each holds, and its metrics."""

from collections.abc import Mapping
from dataclasses import dataclass
from multiprocessing.context import SpawnContext
from typing import Final

_TRANSPORTS: Final = ("websocket", "sse")
_WIDTH: Final = 1 + len(_TRANSPORTS)
_METRICS_BYTES: Final = 256 * 1024
"""Room for one worker's metrics: 12 KiB, and 1.5 KiB more for each route and status that was answered."""


@dataclass(frozen=True, slots=True)
class Member:
    """One worker."""

    process: int
    by_transport: Mapping[str, int]


class Group:
    """A row for each worker, in memory that all of them share. Only its own worker writes a row while it lives."""

    def __init__(self, context: SpawnContext, size: int) -> None:
        """`size`: how many workers."""
        self.size = size
        self._cells = context.RawArray("q", size * _WIDTH)
        self._lengths = context.RawArray("q", size)
        self._metrics = context.RawArray("c", size * _METRICS_BYTES)

    def write(self, place: int, process: int, by_transport: Mapping[str, int]) -> None:
        """Tell the others of a worker's connections."""
        row = [process, *(by_transport.get(name, 0) for name in _TRANSPORTS)]
        self._cells[place * _WIDTH : (place + 1) * _WIDTH] = row

    def publish(self, place: int, metrics: bytes) -> None:
        """Show the others a worker's metrics; those that are too many are left out."""
        if len(metrics) > _METRICS_BYTES:
            return
        start = place * _METRICS_BYTES
        # Nobody reads what is being written: there is none of it meanwhile.
        self._lengths[place] = 0
        self._metrics[start : start + len(metrics)] = metrics
        self._lengths[place] = len(metrics)

    def metrics(self, place: int) -> bytes:
        """Return a worker's metrics as it published them last; nothing while it writes them."""
        length, start = self._lengths[place], place * _METRICS_BYTES
        found = self._metrics[start : start + length]
        return found if self._lengths[place] == length else b""

    def clear(self, place: int) -> None:
        """Forget a worker that is gone."""
        self.write(place, 0, {})
        self._lengths[place] = 0

    @property
    def members(self) -> list[Member]:
        """The workers that serve."""
        cells = self._cells[:]
        rows = [cells[begin : begin + _WIDTH] for begin in range(0, len(cells), _WIDTH)]
        return [Member(row[0], dict(zip(_TRANSPORTS, row[1:], strict=True))) for row in rows if row[0]]


class Place:
    """The group as one of its workers sees it."""

    def __init__(self, group: Group, number: int, process: int) -> None:
        """Look from worker `number`, which stays when a worker is replaced; `process` is its id."""
        self.number = number
        self._group = group
        self._process = process

    @property
    def members(self) -> list[Member]:
        """The workers that serve, this one among them."""
        return self._group.members

    def report(self, by_transport: Mapping[str, int]) -> None:
        """Tell the others of this one's connections."""
        self._group.write(self.number, self._process, by_transport)

    def publish(self, metrics: bytes) -> None:
        """Show the others this one's metrics."""
        self._group.publish(self.number, metrics)

    def others(self) -> dict[int, bytes]:
        """Return the metrics of the other workers, by their numbers."""
        found = {number: self._group.metrics(number) for number in range(self._group.size) if number != self.number}
        return {number: metrics for number, metrics in found.items() if metrics}
