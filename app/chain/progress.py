"""How far the poller is, in numbers."""

from collections import Counter
from dataclasses import dataclass, field

from app.chain.ports import Taken


@dataclass(slots=True)
class Progress:
    """What metrics and operators are told. `calls` counts by (node, method, outcome); `lag_seconds` is an estimate."""

    leader: bool = False
    position: int = 0
    head: int = 0
    oldest: int = 0
    lag_seconds: float = 0.0
    provider: str = ""
    gap: bool = False
    calls: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    items: Counter[str] = field(default_factory=Counter)

    @property
    def lag_ledgers(self) -> int:
        """Ledgers that nodes have and that were not read."""
        return max(0, self.head - self.position)

    @property
    def window_used(self) -> float:
        """How much of the nodes' window lies between us and the head: at 1 events are lost."""
        length = self.head - self.oldest
        return self.lag_ledgers / length if self.oldest and length > 0 else 0.0

    def took(self, taken: Taken) -> None:
        """Count what became of items."""
        for name in ("events", "ignored", "parked"):
            self.items[name] += getattr(taken, name)
