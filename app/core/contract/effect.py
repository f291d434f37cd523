"""What one fact does to one stream, before it becomes an event of the feed."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from app.core.contract.parked import Parked
from app.core.contract.place import Place
from app.core.contract.seen import Seen
from app.core.contract.state import ContractState
from app.core.contract.stream import ChainStream

CREATED: Final = "stream.created"
UPDATED: Final = "stream.updated"
CANCELLED: Final = "stream.cancelled"


class Scene(NamedTuple):
    """All that a rule may look at: the event, its contract, and the streams that are known, by their chain id."""

    seen: Seen
    contract: ContractState
    streams: Mapping[int, ChainStream]

    @property
    def place(self) -> Place:
        """Where the event stands."""
        return self.seen.place

    @property
    def now(self) -> int:
        """When: the close of its ledger, in Unix seconds."""
        return self.seen.place.closed_at

    @property
    def function(self) -> str | None:
        """The entry point that was called, if a hint tells."""
        return self.seen.hint.function if self.seen.hint else None


@dataclass(frozen=True, slots=True)
class Effect:
    """A stream afterwards, and what to tell of it. `told`: even when nothing of the stream differs.

    `parties` are addresses beside the stream's own that must hear of it: who was its recipient.
    """

    stream: ChainStream
    cause: str
    detail: dict[str, Any] = field(default_factory=dict)
    name: str = UPDATED
    told: bool = False
    parties: tuple[str, ...] = ()


Verdict = tuple[Effect, ...] | Parked
"""What a rule says: effects in the order in which they are told, none, or why the event must wait."""
Rule = Callable[[Any, ChainStream, Scene], Verdict]
"""A rule takes the fact, the stream it is about as it is now, and the scene."""
