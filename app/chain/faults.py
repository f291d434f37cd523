"""What goes wrong with a node of Stellar RPC, and what that means for the next call."""

from app.core.errors import FluxoraError


class RpcFault(FluxoraError):
    """A call without a usable answer: try later, or another node. `outcome` is a short name for metrics."""

    def __init__(self, outcome: str, message: str, *, retry_after: float = 0.0) -> None:
        """`retry_after`: the seconds that the node asked for."""
        super().__init__(message)
        self.outcome = outcome
        self.retry_after = retry_after


class OurMistake(RpcFault):
    """The node understood us and says no: the same call never succeeds there."""


class WrongNetwork(OurMistake):
    """The node follows another network."""

    def __init__(self, passphrase: str) -> None:
        super().__init__("wrong_network", f"the node follows another network: {passphrase[:100]!r}")


class TooHeavy(RpcFault):
    """The node gave up in the middle of the scan (-32001): ask for fewer ledgers."""


class OutOfRange(RpcFault):
    """The node does not have the ledger that was asked for, only `oldest` to `latest`."""

    def __init__(self, oldest: int, latest: int) -> None:
        super().__init__("out_of_range", f"the node has ledgers {oldest} to {latest} alone")
        self.oldest = oldest
        self.latest = latest
