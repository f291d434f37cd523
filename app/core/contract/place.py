"""Where on the chain something stood, and what the transaction's arguments said of it."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from app.core.accrual import Kind


@dataclass(frozen=True, slots=True)
class Place:
    """Where an event stands: places compare in chain order. `closed_at` is its ledger's close, in Unix seconds."""

    ledger: int
    transaction: int
    operation: int
    index: int
    closed_at: int
    transaction_hash: str

    def __lt__(self, other: "Place") -> bool:
        # What `order=True` makes builds two tuples each time, and an event is compared five times.
        if self.ledger != other.ledger:
            return self.ledger < other.ledger
        return self._order < other._order

    def __le__(self, other: "Place") -> bool:
        return not other < self

    @property
    def _order(self) -> tuple[Any, ...]:
        return self.transaction, self.operation, self.index, self.closed_at, self.transaction_hash

    @property
    def id(self) -> str:
        """The RPC's own id: SEP-35's 64-bit number of the operation, and the event's index."""
        return f"{self.ledger << 32 | self.transaction << 12 | self.operation:019d}-{self.index:010d}"

    def to_json(self) -> list[Any]:
        """Return what `from_json` takes."""
        return [self.ledger, self.transaction, self.operation, self.index, self.closed_at, self.transaction_hash]

    @classmethod
    def from_json(cls, value: list[Any]) -> "Place":
        """Return the place that `to_json` wrote."""
        return cls(*value)


@dataclass(frozen=True, slots=True)
class Hint:
    """What a transaction called. It holds from `event_index` on, until the transaction's next hint.

    `function` is the entry point's name; `kind` that of the stream it creates. No event tells either.
    """

    transaction_hash: str
    function: str | None = None
    kind: Kind | None = None
    event_index: int = 0


def hint_for(place: Place, hints: Iterable[Hint]) -> Hint | None:
    """Return the hint that holds at a place."""
    before = [h for h in hints if h.transaction_hash == place.transaction_hash and h.event_index <= place.index]
    return max(before, key=lambda hint: hint.event_index, default=None)
