"""Many events at once: in chain order whatever their order, each folded into what the ones before left."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from app.core.contract import facts
from app.core.contract.fold import Step, fold
from app.core.contract.seen import Seen
from app.core.contract.state import ContractState
from app.core.contract.stream import ChainStream

StreamKey = tuple[str, int]
"""A stream on the chain: the contract's address and the stream's number."""


@dataclass(slots=True)
class Folded:
    """The contracts and streams afterwards, and the steps in chain order, each with the index of its event.

    An event of the token has a step in each contract that pays with it.
    """

    contracts: dict[str, ContractState]
    streams: dict[StreamKey, ChainStream]
    steps: list[tuple[int, Step]] = field(default_factory=list)


def needed(events: Sequence[Seen]) -> frozenset[StreamKey]:
    """Return the streams to load before `fold_all`, as far as they exist."""
    return frozenset((seen.contract_id, number) for seen in events for number in seen.fact.streams())


def begun(events: Sequence[Seen]) -> frozenset[StreamKey]:
    """Return the streams that these events begin.

    Parked events that miss one of them belong into the same batch: folded after it they would be late.
    """
    return frozenset((seen.contract_id, number) for seen in events if (number := _begins(seen)) is not None)


def fold_all(
    contracts: Mapping[str, ContractState], streams: Mapping[StreamKey, ChainStream], events: Sequence[Seen]
) -> Folded:
    """Fold new events (none seen before, none twice) of configured contracts and their tokens."""
    folded = Folded(dict(contracts), dict(streams))
    concerned = _concerned(contracts.values())
    for index in sorted(range(len(events)), key=lambda number: events[number].place):
        for contract_id in concerned.get(events[index].contract_id, ()):
            _take(folded, folded.contracts[contract_id], index, events[index])
    return folded


def _concerned(contracts: Iterable[ContractState]) -> Mapping[str, Collection[str]]:
    """Return who folds the events of an address: the contract itself, and those that pay with the token."""
    concerned: defaultdict[str, dict[str, None]] = defaultdict(dict)
    for each in contracts:
        for address in (each.contract_id, each.token):
            if address is not None:
                concerned[address][each.contract_id] = None
    return concerned


def _take(folded: Folded, contract: ContractState, index: int, seen: Seen) -> None:
    keys = ((number, (contract.contract_id, number)) for number in seen.fact.streams())
    step = fold(contract, {number: folded.streams[key] for number, key in keys if key in folded.streams}, seen)
    folded.contracts[contract.contract_id] = step.contract
    for outcome in step.outcomes:
        folded.streams[contract.contract_id, outcome.stream.number] = outcome.stream
    folded.steps.append((index, step))


def _begins(seen: Seen) -> int | None:
    fact = seen.fact
    if isinstance(fact, facts.Created):
        return fact.stream_id
    return fact.child_stream_id if isinstance(fact, facts.ShareDelegated) else None
