"""An item of a batch, what became of it, and how it waits."""

from dataclasses import dataclass, field, replace
from datetime import datetime

from app.core.chain_port import ChainReader, Glance, ParkedItem
from app.core.changes import Ingested
from app.core.clock import timestamp
from app.core.contract import notices
from app.core.contract.parked import Parked
from app.core.contract.seen import Seen
from app.core.ports import ChainKey


@dataclass(slots=True)
class RawEntry:
    """An item of the batch and its result; `waited`: it was parked before.

    `key` is what makes the event itself; a token's events have none, they are counted by their place.
    """

    glance: Glance
    waited: ParkedItem | None = None
    result: Ingested = field(init=False)
    key: ChainKey | None = field(init=False)

    def __post_init__(self) -> None:
        found, key = self.glance.found, self.glance.event_key
        counted = isinstance(found, Seen) and isinstance(found.fact, notices.TokenMoved)
        self.result, self.key = Ingested(key, None, "ignored"), None if counted else key


def waiting_entry(reader: ChainReader, item: ParkedItem) -> RawEntry:
    """Return an item that waits, to be tried again."""
    hints = () if item.hint is None else (item.hint,)
    return RawEntry(reader.read(item.item, hints), item)


def parked_item(entry: RawEntry, parked: Parked, now: datetime) -> ParkedItem:
    """Return an item that is to wait, or goes on to wait."""
    glance, waited = entry.glance, entry.waited
    missing = str(parked.missing[0]) if parked.missing else None
    if waited is not None:
        return replace(waited, missing=missing, why=str(parked.why), message=parked.message, tries=waited.tries + 1)
    hint = glance.found.hint if isinstance(glance.found, Seen) else None
    place = None if glance.place is None else glance.place.id
    created_at = timestamp(now)
    return ParkedItem(
        0, glance.key, glance.contract_id, missing, str(parked.why), parked.message, glance.raw, hint, place,
        created_at, 0,
    )  # fmt: skip
