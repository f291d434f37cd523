"""A streaming contract: what is configured of it, and the little that its events change."""

from dataclasses import dataclass
from typing import Final

from app.core.contract.place import Place
from app.core.contract.replacing import replace

EMERGENCY: Final = frozenset({"gl_pause", "pr_pause"})
"""Two names of one flag of the contract: whichever call ends it, ends it."""


@dataclass(frozen=True)
class Pending:
    """What one transaction told so far that belongs to the next withdrawal in it.

    `paid_out` are base units that left the contract by the token's events since the contract's last; `auto_claim`
    is the stream whose `wdraw_to` is to come. Kept between calls: a page may end inside a transaction.
    """

    transaction_hash: str
    paid_out: int = 0
    auto_claim: int | None = None


@dataclass(frozen=True)
class ContractState:
    """A contract, by its address. `decimals` and `token` are configured; None: not known.

    `reasons` are the emergencies that are on: gl_pause, pr_pause, ct_pause, and upgraded until somebody confirms the
    revision. Not empty: the contract is degraded. `upto` is the highest place that was folded: the token's events come
    twice with overlapping pages, nobody remembers their keys, and only those above it count.
    """

    contract_id: str
    decimals: int | None = 7
    token: str | None = None
    reasons: frozenset[str] = frozenset()
    pause_reason: str | None = None
    last_notice: Place | None = None
    pending: Pending | None = None
    upto: Place | None = None

    @property
    def source(self) -> str:
        """How service.degraded and service.recovered name the contract."""
        return f"contract:{self.contract_id}"

    @property
    def paused(self) -> bool:
        """The emergency pause is on."""
        return bool(self.reasons & EMERGENCY)

    @property
    def told(self) -> str | None:
        """What readers are told of the emergencies that are on; None: none is."""
        paused = next((each for each in ("pr_pause", "gl_pause") if each in self.reasons), None)
        more = f" ({self.pause_reason})" if self.pause_reason else ""
        return ", ".join(f"{each}{more}" if each == paused else each for each in sorted(self.reasons)) or None

    def pending_in(self, place: Place) -> Pending:
        """Return what is pending in the transaction of this place."""
        if self.pending and self.pending.transaction_hash == place.transaction_hash:
            return self.pending
        return Pending(place.transaction_hash)

    def with_reason(self, reason: str, *, on: bool, place: Place, text: str | None = None) -> "ContractState":
        """Return the contract with an emergency that began or ended."""
        over = EMERGENCY if reason in EMERGENCY else frozenset({reason})
        reasons = self.reasons | {reason} if on else self.reasons - over
        kept = self.pause_reason if reasons & EMERGENCY else None
        return replace(self, reasons=reasons, pause_reason=text or kept, last_notice=place)

    def confirmed(self) -> "ContractState":
        """Return the contract with its new revision confirmed."""
        return replace(self, reasons=self.reasons - {"upgraded"})
