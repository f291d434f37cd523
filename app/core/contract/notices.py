"""What the contract tells of itself, its offers, templates and reservations: one class a topic."""

from dataclasses import dataclass

from app.core.contract.fields import I128, U32, U64, Address, Bool, Hash, OptionalU64, Text


@dataclass(frozen=True, slots=True)
class Notice:
    """Something that is about no stream."""

    def streams(self) -> tuple[int, ...]:
        """Name no stream: none need be known to fold it."""
        return ()


@dataclass(frozen=True, slots=True)
class OfferCreated(Notice):
    """`offr_crt`: the offer's id becomes the stream's when it is accepted."""

    offer_id: U64
    sender: Address
    recipient: Address
    deposit_amount: I128
    rate_per_second: I128
    start_time: U64
    cliff_time: U64
    end_time: U64
    expiry_time: OptionalU64
    created_at: U64


@dataclass(frozen=True, slots=True)
class OfferWithdrawn(Notice):
    """`offr_cxl`: rejected or cancelled, and paid back."""

    offer_id: U64
    by: Address
    refund_amount: I128


@dataclass(frozen=True, slots=True)
class GloballyPaused(Notice):
    """`gl_pause`: the emergency pause."""

    paused: Bool


@dataclass(frozen=True, slots=True)
class GloballyResumed(Notice):
    """`gl_resume`."""

    resumed_at: U64


@dataclass(frozen=True, slots=True)
class ProtocolPaused(Notice):
    """`pr_pause`: the same flag as the emergency pause, with a reason."""

    admin: Address
    reason: Text
    paused_at: U64


@dataclass(frozen=True, slots=True)
class ProtocolResumed(Notice):
    """`pr_resume`."""

    admin: Address
    resumed_at: U64


@dataclass(frozen=True, slots=True)
class CreationPaused(Notice):
    """`ct_pause`: no new streams, or again."""

    paused: Bool


@dataclass(frozen=True, slots=True)
class Upgraded(Notice):
    """`upgraded`: other code from now on. `new_version` is, in spite of its name, the version before."""

    new_wasm_hash: Hash
    new_version: U32
    upgraded_at: U64
    upgraded_by: Address


@dataclass(frozen=True, slots=True)
class UpgradeCalled(Notice):
    """`upgrade`: published beside `upgraded`."""

    wasm_hash: Hash
    old_version: U32
    new_version: U32
    admin: Address


@dataclass(frozen=True, slots=True)
class ExcessSwept(Notice):
    """`ex_swept`: what belonged to no stream left the contract."""

    caller: Address
    to: Address
    amount: I128


@dataclass(frozen=True, slots=True)
class AdminChanged(Notice):
    """`AdminUpd`."""

    old_admin: Address
    new_admin: Address


@dataclass(frozen=True, slots=True)
class TemplateDefined(Notice):
    """`tmpl_def`."""

    template_id: U64
    owner: Address
    start_delay: U64
    cliff_delay: U64
    duration: U64


@dataclass(frozen=True, slots=True)
class ReservationReleased(Notice):
    """`res_rel`: ids that nobody used are free again."""

    owner: Address
    start_id: U64
    count: U32
    consumed: U32
    reclaimed: U32


@dataclass(frozen=True, slots=True)
class ExecutableUpdated(Notice):
    """The host's own `executable_update`, a system event beside `upgraded`."""


@dataclass(frozen=True, slots=True)
class TokenMoved(Notice):
    """The token's `transfer` or `burn`: base units that left `source`."""

    source: Address
    amount: I128
