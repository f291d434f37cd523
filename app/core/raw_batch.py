"""The contract's own events of a batch: folded in chain order, parked where they must wait."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from app.core.chain_entity import entity, lifted
from app.core.chain_port import ChainReader
from app.core.changes import Changes
from app.core.clock import timestamp
from app.core.contract import facts
from app.core.contract.batch import Folded, StreamKey, begun, fold_all, needed
from app.core.contract.fold import Outcome, fold
from app.core.contract.parked import Parked, Why
from app.core.contract.record import state_of, state_record
from app.core.contract.seen import Seen
from app.core.contract.stream import ChainStream
from app.core.contract.view import view
from app.core.event import Draft, EventName
from app.core.ports import Rows
from app.core.raw_entry import RawEntry, parked_item, waiting_entry

if TYPE_CHECKING:
    from app.core.contract.state import ContractState

_UNTOLD = frozenset({"lastEvent"})


class RawBatch:
    """Items on their way through the contracts they belong to."""

    def __init__(self, reader: ChainReader, entries: Sequence[RawEntry], changes: Changes) -> None:
        """`entries` get their results here."""
        self._reader = reader
        self._changes = changes
        self._entries = list(entries)
        self._before: dict[str, ContractState] = {}
        self._after: dict[str, ContractState] = {}
        self._again: list[tuple[RawEntry, RawEntry]] = []
        self._events: list[tuple[RawEntry, Seen]] = []
        self._parked: list[tuple[RawEntry, Parked]] = []
        self._done: list[int] = []
        self._lifted: dict[StreamKey, ChainStream] = {}
        self.alarms: dict[str, str | None] = {}
        """Contracts whose emergencies changed, by source: what is on now, or None."""

    async def open(self, unit: Rows) -> set[str]:
        """Lock the contracts, sort the items, and return the ids of the streams that must be loaded."""
        if not self._entries:
            return set()
        await self._lock_contracts(unit)
        await self._sort(unit)
        await self._join_waiting(unit)
        events = [seen for _, seen in self._events]
        ids = set(await unit.chain.stream_ids(needed(events)))
        return ids | {_born_id(seen) for seen in events if isinstance(seen.fact, facts.Created)}

    def fold(self) -> None:
        """Apply the events to the streams that were loaded."""
        events = [seen for _, seen in self._events]
        streams = {
            (stream.chain.contract_id, stream.chain.number): stream.chain
            for stream in self._changes.streams.values()
            if stream.chain is not None
        }
        self._lift(events)
        folded = fold_all(self._before, streams | self._lifted, events)
        self._tell(folded)
        self._after = folded.contracts

    async def store(self, unit: Rows) -> None:
        """Store the contracts, and what waits."""
        if not self._entries:
            return
        changed = {each: state for each, state in self._after.items() if state != self._before[each]}
        await unit.chain.store_contracts({each: state_record(state) for each, state in changed.items()})
        for each, state in changed.items():
            if state.reasons != self._before[each].reasons:
                self.alarms[state.source] = state.told
                await unit.chain.set_outage(state.source, state.told)
        await unit.chain.unpark(self._done)
        await unit.chain.park(
            [parked_item(*each, self._changes.now) for each in self._parked if each[0].waited is None]
        )
        await unit.chain.tried(
            [parked_item(*each, self._changes.now) for each in self._parked if each[0].waited is not None]
        )

    async def _lock_contracts(self, unit: Rows) -> None:
        named = {entry.glance.contract_id for entry in self._entries}
        configured = {
            contract_id: state
            for contract_id, state in self._reader.contracts.items()
            if contract_id in named or (state.token is not None and state.token in named)
        }
        stored = await unit.chain.lock_contracts(configured)
        self._before = {
            contract_id: state_of(state, stored[contract_id]) if stored.get(contract_id) else state
            for contract_id, state in configured.items()
        }

    async def _sort(self, unit: Rows) -> None:
        """Tell new items from those that are not for us, were seen, or wait already."""
        keys = {entry.key for entry in self._entries if entry.glance.found is not None}
        self._changes.seen |= await unit.seen({key for key in keys if key is not None})
        waiting = await unit.chain.parked_keys(
            {entry.glance.key for entry in self._entries if entry.waited is None and entry.glance.found is not None}
        )
        first: dict[str, RawEntry] = {}
        for entry in self._entries:
            earlier = first.setdefault(entry.glance.key, entry)
            if earlier is not entry:
                self._again.append((entry, earlier))
            elif entry.glance.key in waiting:
                entry.result.action, entry.result.message = "parked", "it waits already"
            else:
                self._admit(entry)

    def _admit(self, entry: RawEntry) -> None:
        found = entry.glance.found
        if entry.key in self._changes.seen and not (isinstance(found, Seen) and isinstance(found.fact, facts.Created)):
            self._settle(entry)
        elif isinstance(found, Seen):
            self._events.append((entry, found))
        elif isinstance(found, Parked):
            self._park(entry, found)
        else:
            entry.result.message = entry.glance.reason
            if entry.waited is not None:
                self._park(entry, Parked(Why(entry.waited.why), entry.glance.reason))

    async def _join_waiting(self, unit: Rows) -> None:
        """Take what waits for streams that begin here into the batch: folded after it, it would be late."""
        asked: set[StreamKey] = set()
        known = {entry.waited.id for entry in self._entries if entry.waited}
        while new := begun([seen for _, seen in self._events]) - asked:
            asked |= new
            items = [item for item in await unit.chain.waiting_for(new) if item.id not in known]
            known |= {item.id for item in items}
            entries = [waiting_entry(self._reader, item) for item in items]
            seen = await unit.seen({entry.key for entry in entries if entry.key is not None}) if entries else set()
            self._changes.seen |= seen
            for entry in entries:
                self._entries.append(entry)
                self._admit(entry)

    def _lift(self, events: Iterable[Seen]) -> None:
        """Make chain streams of those that seed events or requests made, where `created` of the same key comes."""
        for seen in events:
            seed = self._changes.streams.get(_born_id(seen)) if isinstance(seen.fact, facts.Created) else None
            if seed is None or seed.chain is not None:
                continue
            for outcome in fold(self._before[seen.contract_id], {}, seen).outcomes:
                chain = lifted(outcome.stream, seed)
                self._lifted[chain.contract_id, chain.number] = chain

    def _tell(self, folded: Folded) -> None:
        parked: dict[int, Parked] = {}
        for index, step in folded.steps:
            entry, seen = self._events[index]
            if step.parked:
                parked[index] = step.parked
            outcomes = step.outcomes or self._lifting(seen)
            for outcome in outcomes:
                self._tell_one(entry, outcome)
            if not outcomes and not step.parked:
                self._name_stream(entry, seen, folded.streams)
        for index, (entry, _) in enumerate(self._events):
            if index in parked:
                self._park(entry, parked[index])
            else:
                self._settle(entry)
        for entry, earlier in self._again:
            entry.result.stream_id = earlier.result.stream_id
            if earlier.result.action == "parked":
                entry.result.action, entry.result.why = "parked", earlier.result.why
                entry.result.message = earlier.result.message

    def _lifting(self, seen: Seen) -> tuple[Outcome, ...]:
        """Return what to tell of a stream that became the chain's."""
        number = seen.fact.stream_id if isinstance(seen.fact, facts.Created) else None
        chain = self._lifted.pop((seen.contract_id, number), None) if number is not None else None
        if chain is None:
            return ()
        seed = self._changes.streams[chain.id].to_json()
        changed = tuple(name for name, value in view(chain).items() if name not in _UNTOLD and seed.get(name) != value)
        place = seen.place
        told = {
            "contractId": chain.contract_id,
            "streamId": str(chain.number),
            "ledger": place.ledger,
            "closedAt": place.closed_at,
            "transactionHash": place.transaction_hash,
            "eventIndex": place.index,
            "topic": seen.topic,
        }
        return (Outcome(chain, EventName.UPDATED, "created", {}, changed, told),)

    def _tell_one(self, entry: RawEntry, outcome: Outcome) -> None:
        changes, result = self._changes, entry.result
        stream = entity(outcome.stream, changes.streams.get(outcome.stream.id), changes.now)
        if result.stream_id is None:
            result.stream_id, result.action = stream.id, outcome.name.removeprefix("stream.")
        draft = Draft(
            EventName(outcome.name),
            stream,
            outcome.changed,
            timestamp(changes.now),
            outcome.cause,
            outcome.detail,
            outcome.chain,
            outcome.parties[:2],
        )
        changes.tell(draft, result)

    def _name_stream(self, entry: RawEntry, seen: Seen, streams: Mapping[StreamKey, ChainStream]) -> None:
        for number in seen.fact.streams():
            if (known := streams.get((seen.contract_id, number))) is not None:
                entry.result.stream_id = known.id
                return

    def _settle(self, entry: RawEntry) -> None:
        """Note that it was taken, now or before: it does not wait any more."""
        if entry.key is not None:
            self._changes.take(entry.key)
        if entry.waited is not None:
            self._done.append(entry.waited.id)

    def _park(self, entry: RawEntry, parked: Parked) -> None:
        entry.result.action, entry.result.why, entry.result.message = "parked", str(parked.why), parked.message
        self._parked.append((entry, parked))


def _born_id(seen: Seen) -> str:
    return f"stream-{seen.place.transaction_hash}-{seen.place.index}"
