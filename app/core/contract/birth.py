"""How streams begin, and what they are made of."""

from collections.abc import Mapping
from typing import Final

from app.core.accrual import Kind
from app.core.contract import facts
from app.core.contract.effect import CREATED, Effect, Rule, Scene, Verdict
from app.core.contract.parked import Parked, Why
from app.core.contract.reading import Reading, accrued_as, as_linear, like
from app.core.contract.replacing import replace
from app.core.contract.stream import ChainStream


def created(fact: facts.Created, scene: Scene) -> Verdict:
    """Begin a stream, unless there is one of this id: what the event does not tell is read as `_readings` says."""
    if fact.stream_id in scene.streams:
        return taken_already(scene.streams[fact.stream_id], scene)
    stream = ChainStream(
        scene.contract.contract_id,
        fact.stream_id,
        scene.contract.token,
        scene.contract.decimals,
        scene.place,
        scene.place,
        fact.sender,
        fact.recipient,
        fact.deposit_amount,
        fact.rate_per_second,
        fact.start_time,
        fact.cliff_time,
        fact.end_time,
        _readings(fact, scene),
        fact.withdraw_dust_threshold,
        fact.memo,
        fact.metadata,
        pooled=fact.sender == fact.recipient,
    )
    return (Effect(stream, "created", name=CREATED),)


def taken_already(stream: ChainStream, scene: Scene) -> Verdict:
    """Tell an event that came twice, or that a record told before, from another one with the same id."""
    if stream.born is None or stream.born == scene.place:
        return ()
    return Parked(Why.EXISTS, f"stream {stream.number} exists already, since ledger {stream.born.ledger}")


def _readings(fact: facts.Created, scene: Scene) -> tuple[Reading, ...]:
    if scene.seen.hint and scene.seen.hint.kind:
        return (Reading(scene.seen.hint.kind, 0, fact.start_time),)
    return likely_readings(fact.rate_per_second, fact.deposit_amount, fact.start_time, fact.cliff_time, fact.end_time)


def likely_readings(rate: int, deposit: int, start: int, cliff: int, end: int) -> tuple[Reading, ...]:
    """Return the kinds that fit the terms of a new stream, the likeliest first.

    Rate 0 is CliffOnly and only that; a deposit under rate x (end - start) can only be CliffSlope; with the cliff at
    the start it does not matter. Else Linear and CliffSlope both fit (the contract's checks at creation).
    """
    kinds: tuple[Kind, ...] = (Kind.LINEAR,)
    if rate == 0:
        kinds = (Kind.CLIFF_ONLY,)
    elif deposit < rate * (end - start):
        kinds = (Kind.CLIFF_SLOPE,)
    elif cliff > start:
        kinds = (Kind.LINEAR, Kind.CLIFF_SLOPE)
    return tuple(Reading(kind, 0, start) for kind in kinds)


def _cloned(fact: facts.Cloned, stream: ChainStream, scene: Scene) -> Verdict:
    after = like(replace(stream, source=fact.source_stream_id), scene.streams.get(fact.source_stream_id))
    return (Effect(after, "cloned", {"sourceStreamId": str(fact.source_stream_id)}),)


def _renewed(fact: facts.Renewed, stream: ChainStream, scene: Scene) -> Verdict:
    old = scene.streams.get(fact.old_stream_id)
    after = like(replace(stream, previous=fact.old_stream_id), old)
    detail = {"previousStreamId": str(fact.old_stream_id), "nextStreamId": str(stream.number)}
    told = Effect(after, "renewed", detail)
    return (told,) if old is None else (Effect(replace(old, next=stream.number), "renewed", detail), told)


def _offer_accepted(fact: facts.OfferAccepted, stream: ChainStream, scene: Scene) -> Verdict:
    del scene
    return (Effect(stream, "offer_accepted", {"offerId": str(fact.stream_id)}, told=True),)


def _share_delegated(fact: facts.ShareDelegated, parent: ChainStream, scene: Scene) -> Verdict:
    """Part the parent: it keeps what had accrued and what its new rate still needs; the child gets all the rest."""
    if fact.child_stream_id in scene.streams:
        return taken_already(scene.streams[fact.child_stream_id], scene)
    now, parent = scene.now, as_linear(parent)
    doubtful = parent.doubtful or len({accrued_as(parent, reading, now) for reading in parent.readings}) > 1
    checkpoint = parent.accrued_by(now)
    kept = checkpoint + fact.new_parent_rate * (parent.end - now)
    after = replace(
        parent,
        readings=(Reading(Kind.LINEAR, checkpoint, now),),
        rate=fact.new_parent_rate,
        deposit=kept,
        doubtful=doubtful,
    )
    child = _child(fact, parent, scene, deposit=parent.deposit - kept, doubtful=doubtful)
    detail = {
        "parentStreamId": str(parent.number),
        "childStreamId": str(child.number),
        "bps": fact.share_bps,
        "childDeposit": str(child.deposit),
    }
    return Effect(after, "share_delegated", detail), Effect(child, "share_delegated", detail, name=CREATED)


def _child(
    fact: facts.ShareDelegated, parent: ChainStream, scene: Scene, *, deposit: int, doubtful: bool
) -> ChainStream:
    return ChainStream(
        parent.contract_id,
        fact.child_stream_id,
        parent.token,
        parent.decimals,
        scene.place,
        scene.place,
        parent.sender,
        fact.delegatee,
        deposit,
        fact.child_rate,
        scene.now,
        max(parent.cliff, scene.now),
        parent.end,
        (Reading(Kind.LINEAR, 0, scene.now),),
        parent.dust,
        parent.memo,
        parent.metadata,
        parent=parent.number,
        doubtful=doubtful,
    )


RULES: Final[Mapping[type, Rule]] = {
    facts.Cloned: _cloned,
    facts.Renewed: _renewed,
    facts.OfferAccepted: _offer_accepted,
    facts.ShareDelegated: _share_delegated,
}
