"""Where on the chain something stood, and what the transaction's arguments said of it."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

from app.core.accrual import Kind


class Place(NamedTuple):
    """Where an event stands: places compare in chain order. `closed_at` is its ledger's close, in Unix seconds."""

    ledger: int
    transaction: int
    operation: int
    index: int  # type: ignore[assignment]  # a tuple's own `index` finds a value, which nobody asks a place
    closed_at: int
    transaction_hash: str

    @property
    def id(self) -> str:
        """The RPC's own id: SEP-35's 64-bit number of the operation, and the event's index."""
        return f"{self.ledger << 32 | self.transaction << 12 | self.operation:019d}-{self.index:010d}"

    def to_json(self) -> list[Any]:
        """Return what `from_json` takes."""
        return list(self)

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
