"""What the workers of one service tell each other: their process ids, and how many feeds each of them holds."""

from collections.abc import Mapping
from dataclasses import dataclass
from multiprocessing.context import SpawnContext

_TRANSPORTS = ("websocket", "sse")
_WIDTH = 1 + len(_TRANSPORTS)


@dataclass(frozen=True, slots=True)
class Member:
    """One worker."""

    process: int
    by_transport: Mapping[str, int]


class Group:
    """A row for each worker, in memory that all of them share. Only its own worker writes a row while it lives."""

    def __init__(self, context: SpawnContext, size: int) -> None:
        """`size`: how many workers."""
        self._cells = context.RawArray("q", size * _WIDTH)

    def write(self, place: int, process: int, by_transport: Mapping[str, int]) -> None:
        """Tell the others."""
        row = [process, *(by_transport.get(name, 0) for name in _TRANSPORTS)]
        self._cells[place * _WIDTH : (place + 1) * _WIDTH] = row

    def clear(self, place: int) -> None:
        """Forget a worker that is gone."""
        self.write(place, 0, {})

    @property
    def members(self) -> list[Member]:
        """The workers that serve."""
        cells = self._cells[:]
        rows = [cells[begin : begin + _WIDTH] for begin in range(0, len(cells), _WIDTH)]
        return [Member(row[0], dict(zip(_TRANSPORTS, row[1:], strict=True))) for row in rows if row[0]]
