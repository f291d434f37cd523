"""What the poller needs of a database and of the feed."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from app.chain.answers import RawItem
from app.chain.position import ChainPosition
from app.chain.rpc import StellarRpc
from app.core.errors import FluxoraError


class FenceLost(FluxoraError):
    """The stored position is not the one that the caller went on from: another poller was here. Nothing was written."""


@dataclass(frozen=True, slots=True)
class Gap:
    """Ledgers that no node has any more, both ends included, and that were not read."""

    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Standing:
    """What is stored about the contracts that are polled. No position: nothing was read yet.

    `resumed`: an operator allows to go on after the gap. `reread_due`: that was done, the streams are to be compared.
    """

    position: ChainPosition | None = None
    gap: Gap | None = None
    resumed: bool = False
    reread_due: bool = False


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of a page's items."""

    events: int = 0
    ignored: int = 0
    parked: int = 0


class ChainSink(Protocol):
    """Where the chain's items go. Each call is one transaction; Unavailable means: nothing is known, ask `standing`."""

    async def standing(self) -> Standing:
        """Return what is stored. Raises Unavailable."""

    async def take(self, items: Sequence[RawItem], after: ChainPosition | None, upto: ChainPosition) -> Taken:
        """Store what the items say, and move the position from `after` to `upto`; a stored gap is over.

        Idempotent on (transaction hash, index). An item that cannot be understood is parked, never refused. Where the
        page was read again `upto` may be `after`. Raises FenceLost, Unavailable, WriteCollision.
        """

    async def gap(self, gap: Gap, after: ChainPosition) -> None:
        """Store that nothing can be read from `after` on. Raises FenceLost, Unavailable, WriteCollision."""

    async def skip(self, gap: Gap, after: ChainPosition, upto: ChainPosition) -> None:
        """Go on behind the gap: move the position, forget gap and `resumed`, store that `reread_due`.

        Only where an operator allowed it. Raises FenceLost, Unavailable, WriteCollision.
        """

    async def reread(self, rpc: StellarRpc, upto: ChainPosition) -> None:
        """Compare the streams with the contract's entries after a gap, when all up to `upto` was taken.

        Ends `reread_due`. A difference becomes one event of cause `reconciled`. Raises as `take`, and RpcFault.
        """


class Lease(Protocol):
    """The right to poll, which one process has at a time, for a while."""

    async def acquire(self, owner: str, seconds: float) -> bool:
        """Take it, if it is free, over, or the owner's already; tells whether it is the owner's. Raises Unavailable."""

    async def renew(self, owner: str, seconds: float) -> bool:
        """Keep it for so long from now; False if it is not the owner's any more. Raises Unavailable."""

    async def release(self, owner: str) -> None:
        """Give it back, if it is still the owner's. Raises Unavailable."""


class Announcer(Protocol):
    """Tells the feed's readers; each is told once, however often it is called."""

    async def degraded(self, source: str, reason: str) -> None:
        """Tell that the source is out of order, and why."""

    async def recovered(self, source: str, reason: str) -> None:
        """Tell that it is in order again, if it was not."""
