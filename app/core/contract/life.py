"""A stream's status: pauses, endings, and what is said of it after the end."""

from collections.abc import Mapping
from typing import Final

from app.core.contract import facts
from app.core.contract.effect import CANCELLED, UPDATED, Effect, Rule, Scene, Verdict
from app.core.contract.parked import Parked, Why
from app.core.contract.reading import proven
from app.core.contract.replacing import replace
from app.core.contract.stream import ChainStream


def _paused(fact: facts.Paused, stream: ChainStream, scene: Scene) -> Verdict:
    if stream.terminal:
        return _final(stream, "paused")
    if stream.status == "paused":
        return ()
    after = replace(stream, status="paused", paused_at=scene.now, pause_reason=fact.reason)
    return (Effect(after, "paused", {"reason": fact.reason}),)


def _resumed(fact: facts.Resumed, stream: ChainStream, scene: Scene) -> Verdict:
    del fact
    if stream.terminal:
        return _final(stream, "active")
    if stream.status == "active":
        return ()
    seconds = max(0, scene.now - (stream.paused_at or scene.now))
    after = replace(
        stream, status="active", paused_at=None, pause_reason=None, paused_seconds=stream.paused_seconds + seconds
    )
    return (Effect(after, "resumed", {"pausedSeconds": seconds}),)


def _cancelled(fact: facts.Cancelled, stream: ChainStream, scene: Scene) -> Verdict:
    """Stop accrual at this ledger's close. The refund is what had not accrued; only the oldest revision told it."""
    if stream.status == "cancelled":
        return ()
    if stream.terminal:
        return _final(stream, "cancelled")
    if fact.refund is not None:
        stream = proven(stream, scene.now, stream.deposit - fact.refund)
    accrued = stream.accrued_by(scene.now)
    refund = stream.deposit - accrued if fact.refund is None else fact.refund
    after = replace(stream.ended("cancelled"), cancelled_at=scene.now, refunded=stream.refunded + refund)
    detail = {"refund": str(refund), "claimable": str(max(0, accrued - stream.withdrawn))}
    return (Effect(after, "cancelled", detail, name=CANCELLED),)


def _keeper_cancelled(fact: facts.KeeperCancelled, stream: ChainStream, scene: Scene) -> Verdict:
    """Cancel, and count what the keeper paid out. The numbers settle what had accrued, and what was withdrawn.

    The contract does not raise its own counter for the recipient's amount: `withdrawn` stays without it. Of a stream
    that is cancelled already the money is taken, for it is a fact.
    """
    if stream.status == "completed":
        return _final(stream, "cancelled")
    accrued = stream.deposit - fact.sender_refund - fact.keeper_fee
    stream = proven(stream, scene.now, accrued)
    missed = accrued - fact.recipient_amount - stream.withdrawn if fact.recipient_amount else 0
    again = stream.status == "cancelled"
    after = replace(
        stream.ended("cancelled"),
        withdrawn=stream.withdrawn + missed,
        relayer_fees=max(0, stream.relayer_fees + missed),
        refunded=stream.refunded + fact.sender_refund,
        keeper_fee=stream.keeper_fee + fact.keeper_fee,
        keeper_paid=stream.keeper_paid + fact.recipient_amount,
        cancelled_at=stream.cancelled_at if again else scene.now,
    )
    detail = {
        "keeper": fact.keeper,
        "keeperFee": str(fact.keeper_fee),
        "recipientAmount": str(fact.recipient_amount),
        "refund": str(fact.sender_refund),
    }
    return (Effect(after, "keeper_cancelled", detail, name=UPDATED if again else CANCELLED),)


def _completed(fact: facts.Completed, stream: ChainStream, scene: Scene) -> Verdict:
    """End the stream. All of the deposit was withdrawn: what the withdrawals did not tell went to relayers."""
    del fact, scene
    if stream.status == "completed":
        return ()
    if stream.terminal:
        return _final(stream, "completed")
    untold = max(0, stream.deposit - stream.withdrawn)
    after = replace(stream.ended("completed"), withdrawn=stream.deposit, relayer_fees=stream.relayer_fees + untold)
    return (Effect(after, "completed"),)


def _closed(fact: facts.Closed, stream: ChainStream, scene: Scene) -> Verdict:
    del fact
    return () if stream.closed_at is not None else (Effect(replace(stream, closed_at=scene.now), "closed"),)


def _decommissioned(fact: facts.Decommissioned, stream: ChainStream, scene: Scene) -> Verdict:
    del scene
    cause = "decommissioned" if fact.decommissioned else "recommissioned"
    return (Effect(replace(stream, decommissioned=fact.decommissioned), cause),)


def _final(stream: ChainStream, wanted: str) -> Parked:
    return Parked(Why.TERMINAL, f"the stream is {stream.status}, which is final: it cannot become {wanted}")


RULES: Final[Mapping[type, Rule]] = {
    facts.Paused: _paused,
    facts.Resumed: _resumed,
    facts.Cancelled: _cancelled,
    facts.KeeperCancelled: _keeper_cancelled,
    facts.Completed: _completed,
    facts.Closed: _closed,
    facts.Decommissioned: _decommissioned,
}
