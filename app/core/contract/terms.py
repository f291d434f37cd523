"""Changes of a stream's rate and end. Only linear streams have them."""

from collections.abc import Mapping
from typing import Final

from app.core.accrual import Kind
from app.core.contract import facts
from app.core.contract.effect import Effect, Rule, Scene, Verdict
from app.core.contract.reading import Reading, accrued_as, as_linear, read_as
from app.core.contract.replacing import replace
from app.core.contract.stream import ChainStream

_COOLDOWN: Final = 17
"""Ledgers between two calls of update_rate_per_second for one stream."""


def _rate_updated(fact: facts.RateUpdated, stream: ChainStream, scene: Scene) -> Verdict:
    """Change the rate, from now on (update_rate_per_second) or back to the last checkpoint (update_rate)."""
    stream = as_linear(stream)
    retroactive = _retroactive(fact, stream, scene)
    from_now = [
        Reading(r.kind, accrued_as(stream, r, fact.effective_time), fact.effective_time) for r in stream.readings
    ]
    readings = {True: stream.readings, False: tuple(from_now), None: (*from_now, *stream.readings)}[retroactive]
    after = replace(read_as(stream, readings), rate=fact.new_rate_per_second)
    if retroactive is False:
        after = replace(after, rate_changed_ledger=scene.place.ledger)
    detail = {
        "from": str(fact.old_rate_per_second),
        "to": str(fact.new_rate_per_second),
        "refund": "0",
        "retroactive": retroactive,
    }
    return (Effect(after, "rate_changed", detail),)


def _retroactive(fact: facts.RateUpdated, stream: ChainStream, scene: Scene) -> bool | None:
    """Tell which entry point it was; None: both fit.

    update_rate_per_second wants a higher rate that the deposit covers, no emergency pause, and 17 ledgers' distance.
    """
    if scene.function in {"update_rate", "update_rate_per_second"}:
        return scene.function == "update_rate"
    new = fact.new_rate_per_second
    early = stream.rate_changed_ledger > 0 and scene.place.ledger < stream.rate_changed_ledger + _COOLDOWN
    covered = stream.deposit >= new * (stream.end - stream.start)
    return True if new <= fact.old_rate_per_second or not covered or scene.contract.paused or early else None


def _rate_decreased(fact: facts.RateDecreased, stream: ChainStream, scene: Scene) -> Verdict:
    reading = Reading(Kind.LINEAR, fact.checkpointed_amount, fact.effective_time)
    after = replace(
        _refunded(read_as(stream, [reading]), fact.refund_amount),
        rate=fact.new_rate_per_second,
        rate_changed_ledger=scene.place.ledger,
    )
    detail = {
        "from": str(fact.old_rate_per_second),
        "to": str(fact.new_rate_per_second),
        "refund": str(fact.refund_amount),
        "retroactive": False,
    }
    return (Effect(after, "rate_changed", detail),)


def _end_shortened(fact: facts.EndShortened, stream: ChainStream, scene: Scene) -> Verdict:
    del scene
    after = replace(_refunded(as_linear(stream), fact.refund_amount), end=fact.new_end_time)
    return (_end_changed(fact, after, fact.refund_amount),)


def _end_extended(fact: facts.EndExtended, stream: ChainStream, scene: Scene) -> Verdict:
    del scene
    return (_end_changed(fact, replace(as_linear(stream), end=fact.new_end_time), 0),)


def _end_changed(fact: facts.EndShortened | facts.EndExtended, after: ChainStream, refund: int) -> Effect:
    detail = {"from": str(fact.old_end_time), "to": str(fact.new_end_time), "refund": str(refund)}
    return Effect(after, "end_changed", detail)


def _refunded(stream: ChainStream, refund: int) -> ChainStream:
    return replace(stream, deposit=stream.deposit - refund, refunded=stream.refunded + refund)


RULES: Final[Mapping[type, Rule]] = {
    facts.RateUpdated: _rate_updated,
    facts.RateDecreased: _rate_decreased,
    facts.EndShortened: _end_shortened,
    facts.EndExtended: _end_extended,
}
