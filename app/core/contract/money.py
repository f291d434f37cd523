"""Money that leaves or enters a stream. It is taken in every status: what was paid was paid."""

from collections.abc import Mapping
from typing import Any, Final

from app.core.contract import facts
from app.core.contract.effect import Effect, Rule, Scene, Verdict
from app.core.contract.reading import as_linear, proven
from app.core.contract.replacing import replace
from app.core.contract.stream import ChainStream


def withdrawn_late(fact: facts.Withdrew | facts.WithdrewTo, stream: ChainStream, scene: Scene) -> Verdict:
    """Add a withdrawal that comes after later events of the stream: it proves nothing any more.

    `completed` and `kp_cncl` told the total, this withdrawal in it: then it was no relayer's fee after all.
    """
    after = replace(stream, withdrawn=stream.withdrawn + fact.amount)
    if _settled(stream, scene.now):
        after = replace(stream, relayer_fees=max(0, stream.relayer_fees - fact.amount))
    return (Effect(after, "withdrawn", _detail(fact, stream) | {"late": True}, told=True),)


def _settled(stream: ChainStream, at: int) -> bool:
    if stream.status == "completed":
        return True
    return bool(stream.keeper_paid) and stream.cancelled_at is not None and at <= stream.cancelled_at


def _withdrew(fact: facts.Withdrew, stream: ChainStream, scene: Scene) -> Verdict:
    """Count a withdrawal, and the relayer's fee if the token's own events show that more left the contract."""
    gross = max(fact.amount, scene.contract.pending_in(scene.place).paid_out)
    fee = gross - fact.amount
    after = replace(stream, relayer_fees=stream.relayer_fees + fee)
    return (Effect(_paid(after, gross, scene), "withdrawn", _detail(fact, stream, fee), told=True),)


def _withdrew_to(fact: facts.WithdrewTo, stream: ChainStream, scene: Scene) -> Verdict:
    detail = _detail(fact, stream)
    if scene.contract.pending_in(scene.place).auto_claim == stream.number:
        detail["auto"] = True
    return (Effect(_paid(stream, fact.amount, scene), "withdrawn", detail, told=True),)


def _paid(stream: ChainStream, amount: int, scene: Scene) -> ChainStream:
    """Add a withdrawal. It takes all that had accrued, unless a lookback window cuts it; not so in a pool."""
    after = replace(stream, withdrawn=stream.withdrawn + amount)
    if after.pooled:
        return after
    return proven(after, scene.now if after.cancelled_at is None else after.cancelled_at, after.withdrawn)


def _detail(fact: facts.Withdrew | facts.WithdrewTo, stream: ChainStream, fee: int = 0) -> dict[str, Any]:
    recipient = fact.recipient or stream.recipient  # the oldest revision named none
    destination = fact.destination if isinstance(fact, facts.WithdrewTo) else recipient
    return {"amount": str(fact.amount), "recipient": recipient, "destination": destination, "fee": str(fee)}


def _topped_up(fact: facts.ToppedUp, stream: ChainStream, scene: Scene) -> Verdict:
    del scene
    after = replace(as_linear(stream), deposit=fact.new_deposit_amount)
    return (Effect(after, "topped_up", {"amount": str(fact.top_up_amount)}),)


RULES: Final[Mapping[type, Rule]] = {
    facts.Withdrew: _withdrew,
    facts.WithdrewTo: _withdrew_to,
    facts.ToppedUp: _topped_up,
}
