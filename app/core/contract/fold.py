"""The fold: a contract and its streams, one more event, and what the feed says of it."""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from app.core.contract import birth, facts, life, money, notices, parties, terms, unpublished
from app.core.contract.effect import CREATED, Effect, Rule, Scene, Verdict
from app.core.contract.parked import Parked, Why
from app.core.contract.replacing import replace
from app.core.contract.seen import Seen
from app.core.contract.state import ContractState, Pending
from app.core.contract.stream import ChainStream
from app.core.contract.view import changed

_RULES: Final[Mapping[type, Rule]] = {**birth.RULES, **life.RULES, **money.RULES, **terms.RULES, **parties.RULES}
_UNTOLD: Final = (facts.HealthChecked, facts.AutoClaimTriggered)
"""Taken of a known stream, without an event in the feed."""
_TIMELESS: Final = (facts.Cloned, facts.Renewed, facts.OfferAccepted)
"""They say what a stream came of, which no later event changes."""
_UNRECORDED: Final = (*_TIMELESS, facts.AutoClaimSet, facts.AutoClaimRevoked)
"""What they say is not in the contract's record of a stream; all else that comes after it would count twice."""
_NEVER: Final = (unpublished.RateCapped, unpublished.SenderChanged, unpublished.Migrated)


class Outcome(NamedTuple):
    """One event of the feed: the stream afterwards, and what to say of it.

    `name` is stream.created, stream.updated or stream.cancelled. `detail` has amounts in base units and chain ids, as
    strings. `changed` are JSON names, those of `base` as `base.<name>`; none of a new stream. `chain` is the event's
    member of that name. `parties`: addresses that must hear of it beside the stream's sender and recipient.
    """

    stream: ChainStream
    name: str
    cause: str
    detail: dict[str, Any]
    changed: tuple[str, ...]
    chain: dict[str, Any]
    parties: tuple[str, ...] = ()


class Step(NamedTuple):
    """What became of one event. `contract` is to be kept, also of a parked one.

    No outcome and not parked: taken, and nothing to tell (a fact without an event, or one equal to the state).
    Compare `contract.reasons` with those before to announce service.degraded and service.recovered.
    """

    contract: ContractState
    outcomes: tuple[Outcome, ...] = ()
    parked: Parked | None = None


def fold(contract: ContractState, streams: Mapping[int, ChainStream], seen: Seen) -> Step:
    """Apply one event; `streams` has those of `seen.fact.streams()` that are known, by their chain id.

    Events of one contract come in chain order. One below its stream's `last` is late: a withdrawal is added, and what
    a stream came of is noted; all else is parked. Whoever calls drops events that were seen before, by (transaction
    hash, event index). An event of the token is folded into each contract that pays with it, twice if it likes.
    """
    fact = seen.fact
    if isinstance(fact, _NEVER):
        return Step(contract, parked=Parked(Why.UNKNOWN_TOPIC, f"topic {seen.topic}: no ledger should hold it"))
    if isinstance(fact, notices.TokenMoved):
        return Step(_moved(contract, seen, fact))
    if isinstance(fact, notices.Notice):
        return _noticed(_spent(contract, seen), seen)
    scene = Scene(seen, contract, streams)
    verdict = _verdict(fact, scene)
    after = _spent(contract, seen)
    if isinstance(verdict, Parked):
        return Step(after, parked=verdict)
    told = (_outcome(effect, scene) for effect in verdict)
    return Step(after, tuple(outcome for outcome in told if outcome))


def _verdict(fact: facts.StreamFact, scene: Scene) -> Verdict:
    if isinstance(fact, facts.Created):
        return birth.created(fact, scene)
    stream = scene.streams.get(fact.stream_id)
    if stream is None:
        message = f"no stream {fact.stream_id} of this contract is known yet"
        return Parked(Why.UNKNOWN_STREAM, message, (fact.stream_id,))
    recorded = scene.place.ledger <= stream.audited and not isinstance(fact, _UNRECORDED)
    if recorded or isinstance(fact, _UNTOLD):
        return ()
    if scene.place < stream.last and not isinstance(fact, _TIMELESS):
        if isinstance(fact, facts.Withdrew | facts.WithdrewTo):
            return money.withdrawn_late(fact, stream, scene)
        return Parked(Why.LATE, f"it stands before the stream's last event, {stream.last.id}")
    return _RULES[type(fact)](fact, stream, scene)


def _outcome(effect: Effect, scene: Scene) -> Outcome | None:
    seen, stream = scene.seen, effect.stream
    stream = replace(stream, last=max(stream.last, seen.place))
    before = scene.streams.get(stream.number)
    differs = () if before is None or effect.name == CREATED else changed(before, stream)
    if not differs and effect.name != CREATED and not effect.told:
        return None
    chain = {
        "contractId": stream.contract_id,
        "streamId": str(stream.number),
        "ledger": seen.place.ledger,
        "closedAt": seen.place.closed_at,
        "transactionHash": seen.place.transaction_hash,
        "eventIndex": seen.place.index,
        "topic": seen.topic,
    }
    return Outcome(stream, effect.name, effect.cause, effect.detail, differs, chain, effect.parties)


def _moved(contract: ContractState, seen: Seen, fact: notices.TokenMoved) -> ContractState:
    if seen.contract_id != contract.token or fact.source != contract.contract_id:
        return contract
    if contract.upto and seen.place <= contract.upto:
        return contract
    pending = contract.pending_in(seen.place)
    paid = replace(pending, paid_out=pending.paid_out + fact.amount)
    return replace(contract, pending=paid, upto=seen.place)


def _spent(contract: ContractState, seen: Seen) -> ContractState:
    """Forget what was pending for this event: the next transfers belong to the next event."""
    if contract.upto and seen.place <= contract.upto:
        return contract
    auto = contract.pending_in(seen.place).auto_claim
    if isinstance(seen.fact, facts.AutoClaimTriggered):
        auto = seen.fact.stream_id
    elif isinstance(seen.fact, facts.WithdrewTo):
        auto = None
    pending = None if auto is None else Pending(seen.place.transaction_hash, auto_claim=auto)
    return replace(contract, pending=pending, upto=seen.place)


def _noticed(contract: ContractState, seen: Seen) -> Step:
    """Turn an emergency on or off; what else the contract tells of itself changes nothing here."""
    switch = _switch(seen.fact)
    if switch is None:
        return Step(contract)
    if contract.last_notice and seen.place < contract.last_notice:
        return Step(
            contract, parked=Parked(Why.LATE, f"it stands before the contract's last, {contract.last_notice.id}")
        )
    reason, on, text = switch
    return Step(contract.with_reason(reason, on=on, place=seen.place, text=text))


def _switch(fact: object) -> tuple[str, bool, str | None] | None:
    match fact:
        case notices.GloballyPaused(paused):
            return "gl_pause", paused, None
        case notices.ProtocolPaused(reason=text):
            return "pr_pause", True, text
        case notices.GloballyResumed() | notices.ProtocolResumed():
            return "gl_pause", False, None
        case notices.CreationPaused(paused):
            return "ct_pause", paused, None
        case notices.Upgraded():
            return "upgraded", True, None
        case _:
            return None
