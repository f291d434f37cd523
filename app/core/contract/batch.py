"""Many events at once: in chain order whatever their order, each folded into what the ones before left."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from app.core.contract.fold import Step, fold
from app.core.contract.parked import Why
from app.core.contract.seen import Seen
from app.core.contract.state import ContractState
from app.core.contract.stream import ChainStream

StreamKey = tuple[str, int]
"""A stream on the chain: the contract's address and the stream's number."""


@dataclass(slots=True)
class Folded:
    """The contracts and streams afterwards, and the steps, in chain order: each with the index of its event.

    An event of the token has a step in each contract that pays with it. A parked event that found its stream later in
    the same batch has a second step.
    """

    contracts: dict[str, ContractState]
    streams: dict[StreamKey, ChainStream]
    steps: list[tuple[int, Step]] = field(default_factory=list)

    def take(self, index: int, seen: Seen) -> list[Step]:
        """Fold one event into each contract that it is for, and keep what comes of it."""
        steps = []
        for contract in [c for c in self.contracts.values() if seen.contract_id in {c.contract_id, c.token}]:
            named = {number: self.streams.get((contract.contract_id, number)) for number in seen.fact.streams()}
            step = fold(contract, {number: stream for number, stream in named.items() if stream}, seen)
            self.contracts[contract.contract_id] = step.contract
            for outcome in step.outcomes:
                self.streams[contract.contract_id, outcome.stream.number] = outcome.stream
            steps.append(step)
        self.steps += [(index, step) for step in steps]
        return steps


def needed(events: Sequence[Seen]) -> frozenset[StreamKey]:
    """Return the streams to load before `fold_all`, as far as they exist."""
    return frozenset((seen.contract_id, number) for seen in events for number in seen.fact.streams())


def fold_all(
    contracts: Mapping[str, ContractState], streams: Mapping[StreamKey, ChainStream], events: Sequence[Seen]
) -> Folded:
    """Fold new events (none seen before) of configured contracts and their tokens."""
    folded = Folded(dict(contracts), dict(streams))
    waiting: list[int] = []
    for index in sorted(range(len(events)), key=lambda number: events[number].place):
        steps = folded.take(index, events[index])
        waiting += [index for step in steps if step.parked and step.parked.why is Why.UNKNOWN_STREAM]
        if any(outcome.name == "stream.created" for step in steps for outcome in step.outcomes):
            waiting = [each for each in waiting if _still(folded, each, events[each])]
    return folded


def _still(folded: Folded, index: int, seen: Seen) -> bool:
    if (seen.contract_id, seen.fact.streams()[0]) not in folded.streams:
        return True
    folded.take(index, seen)
    return False
