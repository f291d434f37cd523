"""One node of Stellar RPC: what is known of it, and how it is asked for events."""

from collections.abc import Awaitable, Callable, Collection
from typing import Final, TypeVar

import structlog

from app.chain.answers import Page, Window
from app.chain.circuit import Circuit
from app.chain.faults import OurMistake, OutOfRange, RpcFault, TooHeavy
from app.chain.position import ChainPosition
from app.chain.progress import Progress
from app.chain.rpc import StellarRpc

# What one call scans at most, and what is left of it after five times "too heavy".
_WIDEST_SPAN: Final = 10_000
_NARROWEST_SPAN: Final = 312
_GOOD_BEFORE_WIDER: Final = 10

T = TypeVar("T")
_logger = structlog.stdlib.get_logger(__name__)


class Provider:
    """A node, its circuit, and the ledgers it has as of its last answer. `name` is fit for logs and metrics."""

    def __init__(self, name: str, rpc: StellarRpc, circuit: Circuit, passphrase: str, progress: Progress) -> None:
        """`passphrase` names the network that the node must follow."""
        self.name = name
        self.rpc = rpc
        self.circuit = circuit
        self.window: Window | None = None
        self.fault: RpcFault | None = None
        self.lost = 0
        self._passphrase = passphrase
        self._progress = progress
        self._checked = False
        self._span = _WIDEST_SPAN
        self._good = 0

    @property
    def usable(self) -> bool:
        """Whether it may be asked now."""
        return self.circuit.seconds <= 0.0

    @property
    def latest(self) -> int:
        """The newest ledger that it was seen to have."""
        return self.window.latest if self.window else 0

    async def look(self) -> Window:
        """Ask for its health and its ledgers. Raises RpcFault."""
        self.window = await self.ask("getHealth", self.rpc.health)
        self._progress_of(self.window)
        return self.window

    async def read(self, contracts: Collection[str], position: ChainPosition, *, again: bool, limit: int) -> Page:
        """Return the events after a place, with `again` those of its whole ledger. Raises RpcFault."""
        if self.window is None:
            await self.look()
        start, end = self._range(position, again=again)
        try:
            page = await self.ask(
                "getEvents", lambda: self.rpc.events([*contracts], start, end_ledger=end, limit=limit)
            )
        except TooHeavy:
            self._span, self._good = max(_NARROWEST_SPAN, self._span // 2), 0
            raise
        except OutOfRange as fault:
            self.window = Window(fault.oldest, fault.latest)
            raise
        # RPC 22 tells the oldest ledger in getHealth alone.
        known = self.window.oldest if self.window else None
        self.window = Window(page.window.oldest or known, page.window.latest)
        self._progress_of(self.window)
        self._good += 1
        if self._good % _GOOD_BEFORE_WIDER == 0:
            self._span = min(_WIDEST_SPAN, self._span * 2)
        if end is not None and (page.upto is None or page.upto <= position):
            self._span = _WIDEST_SPAN  # one ledger fills the page: only a cursor leads on
        return page

    async def ask(self, method: str, call: Callable[[], Awaitable[T]]) -> T:
        """Make a call, once the node is known to follow our network. Raises RpcFault."""
        asked = "getNetwork"
        try:
            if not self._checked:
                await self.rpc.check_network(self._passphrase)
                self._checked = True
                self._count(asked, "ok")
            asked = method
            answer = await call()
        except RpcFault as fault:
            self._count(asked, fault.outcome)
            self.failed(fault)
            raise
        self._count(asked, "ok")
        if self.fault is not None:
            _logger.info("rpc_node_answers", node=self.name)
        self.fault, self.lost = None, 0
        self.circuit.success()
        return answer

    def failed(self, fault: RpcFault) -> None:
        """Leave it alone for a while."""
        if self.fault is None or self.fault.outcome != fault.outcome:
            _logger.warning("rpc_node_fails", node=self.name, outcome=fault.outcome, reason=str(fault))
        self.fault = fault
        if isinstance(fault, OurMistake):
            self.circuit.refuse()
        else:
            self.circuit.failure(fault.retry_after)
        # Behind the same address another node may answer next time, of whatever network.
        self._checked = self._checked and isinstance(fault, OutOfRange | TooHeavy)

    def _range(self, position: ChainPosition, *, again: bool) -> tuple[ChainPosition | int, int | None]:
        """Return where to begin, and the ledger to end before.

        A cursor at the end of a ledger that the node has just dropped is refused, though nothing is lost: the next
        ledger is named instead. An end goes with a ledger alone, never with a cursor.
        """
        oldest = (self.window and self.window.oldest) or 0
        narrow = self._span < _WIDEST_SPAN and self.latest - position.next_ledger >= self._span
        if not (again or narrow or position.ledger < oldest):
            return position, None
        start = position.ledger if again and position.ledger >= oldest else position.next_ledger
        return start, start + self._span if narrow else None

    def _progress_of(self, window: Window) -> None:
        self._progress.head = max(self._progress.head, window.latest)
        self._progress.oldest = window.oldest or self._progress.oldest

    def _count(self, method: str, outcome: str) -> None:
        self._progress.calls[self.name, method, outcome] += 1


def is_lost(position: ChainPosition, fault: OutOfRange) -> bool:
    """Tell whether the node has dropped ledgers that were not read, rather than not having them yet."""
    return position.next_ledger < fault.oldest
