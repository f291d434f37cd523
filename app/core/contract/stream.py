"""A stream as the chain has it: exact, and with what the events left open."""

from dataclasses import dataclass

from app.core.accrual import Holding, Terms, accrued, accrued_by
from app.core.contract.place import Place
from app.core.contract.reading import Reading
from app.core.contract.replacing import replace


@dataclass(frozen=True)
class ChainStream:
    """The state of one stream after some event. Amounts are base units, times Unix seconds, bytes hexadecimal.

    `number` is its id on the chain; `parent`, `source`, `previous` and `next` are such ids. `decimals` None: the
    token is not known. A pool (`pooled`) began with its sender as recipient; its members withdraw.
    `withdrawn` is the contract's counter, gross of `relayer_fees`; `keeper_paid` is not in it.
    `readings` has the one that counts first, and is never empty; `doubtful`: the deposit was worked out while more
    than one fitted. `paused_at` and `pause_reason` are None when no pause is on. `status` is one of active, paused,
    completed, cancelled: a closed stream keeps its own and has `closed_at`.
    `born` and `last` are the places of its first event, and of the latest that was applied. `born` None: its first one
    is lost, and the contract's own record told of it. `audited` is the ledger up to which such a record has all.
    """

    contract_id: str
    number: int
    token: str | None
    decimals: int | None
    born: Place | None
    last: Place
    sender: str
    recipient: str
    deposit: int
    rate: int
    start: int
    cliff: int
    end: int
    readings: tuple[Reading, ...]
    dust: int = 0
    memo: str | None = None
    metadata: tuple[tuple[str, str], ...] | None = None
    status: str = "active"
    withdrawn: int = 0
    refunded: int = 0
    keeper_paid: int = 0
    keeper_fee: int = 0
    relayer_fees: int = 0
    cancelled_at: int | None = None
    paused_at: int | None = None
    paused_seconds: int = 0
    pause_reason: str | None = None
    closed_at: int | None = None
    claim_owner: str | None = None
    auto_claim: str | None = None
    decommissioned: bool = False
    pooled: bool = False
    parent: int | None = None
    source: int | None = None
    previous: int | None = None
    next: int | None = None
    rate_changed_ledger: int = 0
    doubtful: bool = False
    audited: int = 0

    @property
    def id(self) -> str:
        """The product's id of the stream: transaction and event that made it, else contract and number."""
        if self.born is None:
            return f"stream-{self.contract_id.lower()}-{self.number}"
        return f"stream-{self.born.transaction_hash}-{self.born.index}"

    @property
    def terminal(self) -> bool:
        """No later status."""
        return self.status in {"completed", "cancelled"}

    @property
    def assumed(self) -> tuple[str, ...]:
        """What the events have not settled: of `checkpoint`, `deposit`, `kind`."""
        first, *others = self.readings
        assumed = ["deposit"] if self.doubtful else []
        for other in others:
            if (other.checkpoint, other.checkpoint_at) != (first.checkpoint, first.checkpoint_at):
                assumed.append("checkpoint")
            if other.kind is not first.kind:
                assumed.append("kind")
        return tuple(sorted(set(assumed)))

    @property
    def terms(self) -> Terms:
        """The terms by which it accrues, as the first reading has them."""
        return self.terms_as(self.readings[0])

    @property
    def holding(self) -> Holding:
        """What `accrued`, `claimable` and `withdrawable` of app.core.accrual take."""
        return Holding(self.terms, self.status, self.withdrawn, self.cancelled_at)

    @property
    def remaining(self) -> int:
        """What is still in the contract for this stream, never below 0 (a keeper's payment may be made twice)."""
        if self.status == "cancelled":
            return max(0, accrued(self.holding, 0) - self.withdrawn - self.keeper_paid)
        return max(0, self.deposit - self.withdrawn)

    def terms_as(self, reading: Reading) -> Terms:
        """Return the terms if this reading is right."""
        return Terms(
            reading.kind, self.rate, self.deposit, self.cliff, self.end, reading.checkpoint, reading.checkpoint_at
        )

    def accrued_by(self, now: int) -> int:
        """Return what the formula gives at `now`, whatever the status."""
        return accrued_by(self.terms, now)

    def ended(self, status: str) -> "ChainStream":
        """Return the stream with a terminal status: a pause that was on is over."""
        return replace(self, status=status, paused_at=None, pause_reason=None)
