"""What the core needs of who reads the chain's items, and of where the chain's state is kept."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, Protocol

from app.core.contract.batch import StreamKey
from app.core.contract.parked import Parked
from app.core.contract.place import Hint, Place
from app.core.contract.seen import Seen
from app.core.contract.state import ContractState

STELLAR_RPC: Final = "stellar-rpc"
"""How outages name the nodes that the chain is read from."""

RawItem = dict[str, Any]
"""An item of `getEvents`, as Stellar RPC gives it."""


class Glance(NamedTuple):
    """What an item says by itself. `key` is the same whenever it comes again.

    `found` None: it is not for us, as `reason` says. `place` and `contract_id` None: it cannot be read at all.
    """

    raw: RawItem
    key: str
    place: Place | None
    contract_id: str | None
    found: Seen | Parked | None
    reason: str = ""

    @property
    def event_key(self) -> tuple[str, int] | None:
        """Transaction hash and event index."""
        return None if self.place is None else (self.place.transaction_hash, self.place.index)


class ChainReader(Protocol):
    """Reads items of the configured contracts and their tokens."""

    @property
    def contracts(self) -> Mapping[str, ContractState]:
        """The contracts as they are configured, by address."""

    def read(self, raw: RawItem, hints: Sequence[Hint] = ()) -> Glance:
        """Return what an item says; never raises. `hints` are of its transaction."""


@dataclass(frozen=True, slots=True)
class ParkedItem:
    """An item that waits. `missing`: the number of the stream that it waits for; `place`: the RPC's id."""

    id: int
    key: str
    contract_id: str | None
    missing: str | None
    why: str
    message: str
    item: RawItem
    hint: Hint | None
    place: str | None
    created_at: str
    tries: int


@dataclass(frozen=True, slots=True)
class StoredPosition:
    """How far a set of contracts was read. `position` is a cursor of Stellar RPC; None: nothing was read yet.

    `gap`: the first and the last ledger that no node has any more. `resumed`: an operator allows to go on after it;
    `reread_due`: that was done, and the streams are to be compared with the contract.
    """

    position: str | None = None
    gap: tuple[int, int] | None = None
    resumed: bool = False
    reread_due: bool = False


@dataclass(frozen=True, slots=True)
class StoredOutage:
    """What is out of order for every process, since when (ISO 8601)."""

    source: str
    reason: str
    since: str


class ChainTables(Protocol):
    """The chain's state, within a unit of work."""

    async def position(self, contract_set: str) -> StoredPosition:
        """Return how far these contracts were read; nobody else changes it until the end."""

    async def store_position(self, contract_set: str, position: StoredPosition) -> None:
        """Store how far; `position` was called before."""

    async def known_streams(self, contract_id: str) -> dict[int, bool]:
        """Return the contract's streams by their numbers: whether it still has a record of one, as far as is known."""

    async def lock_contracts(self, ids: Collection[str]) -> dict[str, dict[str, Any]]:
        """Return the contracts' states as they were stored; until the end nobody else takes events of theirs."""

    async def store_contracts(self, states: Mapping[str, Mapping[str, Any]]) -> None:
        """Store states of contracts that are locked, by their ids."""

    async def stream_ids(self, keys: Collection[StreamKey]) -> list[str]:
        """Return the ids of the streams that are known by these keys."""

    async def parked_keys(self, keys: Collection[str]) -> set[str]:
        """Return those of the items that are parked."""

    async def park(self, items: Sequence[ParkedItem]) -> None:
        """Park items; their `id` is drawn here."""

    async def waiting_for(self, keys: Collection[StreamKey]) -> list[ParkedItem]:
        """Return the items that wait for one of these streams."""

    async def parked(self, parked_id: int) -> ParkedItem | None:
        """Return one."""

    async def unpark(self, ids: Collection[int]) -> None:
        """Forget items that were taken at last."""

    async def tried(self, items: Sequence[ParkedItem]) -> None:
        """Store that items were tried again in vain: their tries, and what they wait for now."""

    async def set_outage(self, source: str, reason: str | None) -> None:
        """Store that a source is out of order, or (None) that it is not."""
