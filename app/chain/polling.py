"""What is polled, and how eagerly."""

from collections.abc import Mapping
from dataclasses import dataclass

from app.chain.pace import LOOK_SECONDS


@dataclass(frozen=True, slots=True)
class Polling:
    """The contracts, each with the ledger that it is read from (None: from where the nodes' window begins)."""

    contracts: Mapping[str, int | None]
    page: int = 1000
    calls_per_second: float = 10.0
    look_seconds: float = LOOK_SECONDS  # between looks for a ledger that is due
    silent_seconds: float = 60.0  # without a new ledger, before readers are told
    store_seconds: float = 30.0  # between positions that are stored though nothing happened
    gap_seconds: float = 5.0  # between looks at a gap, and for an operator's word
    margin: int = 60  # ledgers above the oldest, so that the window does not move past where we begin
    trouble_seconds: float = 1.0  # wait after the database failed, at first

    @property
    def start(self) -> int | None:
        """The first ledger to read, if all contracts name one."""
        starts = [start for start in self.contracts.values() if start is not None]
        return min(starts) if len(starts) == len(self.contracts) else None

    def wants(self, contract: object, ledger: int) -> bool:
        """Tell whether an event of this contract in this ledger is asked for."""
        return isinstance(contract, str) and contract in self.contracts and ledger >= (self.contracts[contract] or 0)
