"""What the contract tells of one stream: one class a topic, its fields named and typed as the contract's struct."""

from dataclasses import dataclass

from app.core.contract.fields import I128, U32, U64, Address, Bool, Metadata, OptionalAddress, OptionalBytes, Text


@dataclass(frozen=True, slots=True)
class StreamFact:
    """Something that happened to the stream of this id."""

    stream_id: U64

    def streams(self) -> tuple[int, ...]:
        """Name the streams to know, as far as they exist, for folding this fact; the one it is about first."""
        return (self.stream_id,)


@dataclass(frozen=True, slots=True)
class Created(StreamFact):
    """`created`: a stream began. Its kind is not told."""

    sender: Address
    recipient: Address
    deposit_amount: I128
    rate_per_second: I128
    start_time: U64
    cliff_time: U64
    end_time: U64
    withdraw_dust_threshold: I128 = 0
    memo: OptionalBytes = None
    metadata: Metadata = None


@dataclass(frozen=True, slots=True)
class Cloned(StreamFact):
    """`cloned`: the stream, created just before, is a copy of another. `stream_id` is the new one's."""

    source_stream_id: U64
    sender: Address
    recipient: Address
    deposit_amount: I128
    rate_per_second: I128
    start_time: U64
    cliff_time: U64
    end_time: U64
    withdraw_dust_threshold: I128

    def streams(self) -> tuple[int, ...]:
        """Name the new stream, and the one it was copied from."""
        return self.stream_id, self.source_stream_id


@dataclass(frozen=True, slots=True)
class Renewed(StreamFact):
    """`renewed`: the stream, created just before, follows a completed one. `stream_id` is the new one's."""

    old_stream_id: U64

    def streams(self) -> tuple[int, ...]:
        """Name the new stream, and the one it follows."""
        return self.stream_id, self.old_stream_id


@dataclass(frozen=True, slots=True)
class ShareDelegated(StreamFact):
    """`del_share`: part of the rate went to a new stream, which has no `created`. `stream_id` is the parent's."""

    child_stream_id: U64
    delegator: Address
    delegatee: Address
    share_bps: U32
    new_parent_rate: I128
    child_rate: I128

    def streams(self) -> tuple[int, ...]:
        """Name the parent and the child."""
        return self.stream_id, self.child_stream_id


@dataclass(frozen=True, slots=True)
class OfferAccepted(StreamFact):
    """`offr_acc`: the stream, created just before, came of the offer with the same id."""

    effective_start_time: U64
    recipient: Address


@dataclass(frozen=True, slots=True)
class Paused(StreamFact):
    """`paused`: withdrawals stop, accrual goes on. Older revisions gave no reason."""

    reason: Text | None = None


@dataclass(frozen=True, slots=True)
class Resumed(StreamFact):
    """`resumed`."""


@dataclass(frozen=True, slots=True)
class Cancelled(StreamFact):
    """`cancelled`: accrual stops for good. Only the oldest revision told the refund."""

    refund: I128 | None = None


@dataclass(frozen=True, slots=True)
class KeeperCancelled(StreamFact):
    """`kp_cncl`: a keeper ended the stream, was paid for it, and paid the recipient, all at once."""

    keeper: Address
    keeper_fee: I128
    recipient_amount: I128
    sender_refund: I128


@dataclass(frozen=True, slots=True)
class Completed(StreamFact):
    """`completed`: the whole deposit is withdrawn."""


@dataclass(frozen=True, slots=True)
class Closed(StreamFact):
    """`closed`: the contract forgot the stream."""


@dataclass(frozen=True, slots=True)
class Decommissioned(StreamFact):
    """`decomm`: the stream's terms are frozen, or free again."""

    decommissioned: Bool


@dataclass(frozen=True, slots=True)
class Withdrew(StreamFact):
    """`withdrew`: the amount is net of a relayer's fee. The oldest revision named no recipient."""

    amount: I128
    recipient: Address | None = None


@dataclass(frozen=True, slots=True)
class WithdrewTo(StreamFact):
    """`wdraw_to`: a withdrawal to an address of the recipient's choice."""

    recipient: Address
    destination: Address
    amount: I128


@dataclass(frozen=True, slots=True)
class AutoClaimTriggered(StreamFact):
    """`ac_trig`: the same money as the `wdraw_to` right after it."""

    destination: Address
    amount: I128


@dataclass(frozen=True, slots=True)
class ToppedUp(StreamFact):
    """`top_up`: a larger deposit."""

    top_up_amount: I128
    new_deposit_amount: I128
    new_end_time: U64


@dataclass(frozen=True, slots=True)
class RateUpdated(StreamFact):
    """`rate_upd`, of two entry points: one takes a checkpoint, the other counts the new rate back to the last one."""

    old_rate_per_second: I128
    new_rate_per_second: I128
    effective_time: U64


@dataclass(frozen=True, slots=True)
class RateDecreased(StreamFact):
    """`rate_dec`: a checkpoint, a lower rate, and a refund."""

    old_rate_per_second: I128
    new_rate_per_second: I128
    effective_time: U64
    checkpointed_amount: I128
    refund_amount: I128


@dataclass(frozen=True, slots=True)
class EndShortened(StreamFact):
    """`end_shrt`: an earlier end, and a refund."""

    old_end_time: U64
    new_end_time: U64
    refund_amount: I128


@dataclass(frozen=True, slots=True)
class EndExtended(StreamFact):
    """`end_ext`: a later end."""

    old_end_time: U64
    new_end_time: U64


@dataclass(frozen=True, slots=True)
class RecipientChanged(StreamFact):
    """`recp_upd`."""

    old_recipient: Address
    new_recipient: Address


@dataclass(frozen=True, slots=True)
class ClaimOwnerChanged(StreamFact):
    """`claim_own`: who may withdraw."""

    old_owner: OptionalAddress
    new_owner: Address


@dataclass(frozen=True, slots=True)
class AutoClaimSet(StreamFact):
    """`ac_set`."""

    destination: Address


@dataclass(frozen=True, slots=True)
class AutoClaimRevoked(StreamFact):
    """`ac_revoke`."""


@dataclass(frozen=True, slots=True)
class HealthChecked(StreamFact):
    """`health`: always (false, 0, 0), of a stream that has just ended."""

    is_underfunded: Bool
    remaining_balance: I128
    seconds_remaining: U64
