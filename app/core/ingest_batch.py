"""A batch of what happened on the chain: an indexer's seed events, and items of `getEvents`."""

import asyncio
from collections import defaultdict
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Final

from app.core.chain import ChainEvent
from app.core.chain_port import ChainReader, Glance, RawItem
from app.core.changes import Changes, Ingested
from app.core.contract.batch import StreamKey
from app.core.contract.place import Hint
from app.core.event import Draft
from app.core.ports import Rows
from app.core.raw_batch import RawBatch
from app.core.raw_entry import RawEntry, waiting_entry
from app.core.seed_batch import take_seeds

_READ_AT_ONCE: Final = 50
"""Items between two turns of the loop: about 3 ms of decoding."""


async def glances_of(
    reader: ChainReader, events: Sequence[ChainEvent | RawItem], hints: Sequence[Hint]
) -> list[Glance | None]:
    """Read the items among the events; None for the others."""
    by_transaction: defaultdict[str, list[Hint]] = defaultdict(list)
    for hint in hints:
        by_transaction[hint.transaction_hash].append(hint)
    glances: list[Glance | None] = []
    for number, event in enumerate(events):
        if not isinstance(event, dict):  # an eighth of the time that `Mapping` takes
            glances.append(None)
            continue
        digest = event.get("txHash")
        glances.append(reader.read(event, by_transaction.get(digest, ()) if isinstance(digest, str) else ()))
        if number % _READ_AT_ONCE == 0:
            await asyncio.sleep(0)
    return glances


class IngestBatch:
    """Seed events and the chain's items, and what became of them."""

    def __init__(
        self,
        events: Sequence[ChainEvent | RawItem],
        glances: Sequence[Glance | None],
        reader: ChainReader,
        now: datetime,
        waited: RawEntry | None = None,
    ) -> None:
        self.changes = Changes(now)
        self.results: list[Ingested] = []
        self._seeds: list[tuple[ChainEvent, Ingested]] = []
        entries: list[RawEntry] = [] if waited is None else [waited]
        self.results += [entry.result for entry in entries]
        for event, glance in zip(events, glances, strict=True):
            if glance is not None:
                entry = RawEntry(glance)
                entries.append(entry)
                self.results.append(entry.result)
            elif not isinstance(event, dict):
                self._seeds.append((event, Ingested(event.key, event.target, "ignored")))
                self.results.append(self._seeds[-1][1])
        self.raw = RawBatch(reader, entries, self.changes)

    async def take(self, unit: Rows) -> None:
        """Do all of it but the commit."""
        changes = self.changes
        ids = await self.raw.open(unit)
        keys = {event.key for event, _ in self._seeds}
        changes.seen |= await unit.seen(keys - changes.seen) if keys else set()
        await changes.load(unit, ids | {event.target for event, _ in self._seeds if event.key not in changes.seen})
        take_seeds(changes, self._seeds)
        self.raw.fold()
        await changes.write(unit)
        await self.raw.store(unit)


async def take_waiting(unit: Rows, reader: ChainReader, keys: Collection[StreamKey], now: datetime) -> list[Draft]:
    """Take what waited for streams that are known now; returns the events of it."""
    drafts: list[Draft] = []
    for item in await unit.chain.waiting_for(keys) if keys else ():
        batch = IngestBatch((), (), reader, now, waiting_entry(reader, item))
        await batch.take(unit)
        drafts += batch.changes.drafts
    return drafts
