"""Reads the items of the contracts that are configured."""

import hashlib
import json
from collections.abc import Mapping, Sequence

from app.chain.item import Ignored, Item, parse, read
from app.chain.xdr import Undecodable
from app.core.chain_port import Glance, RawItem
from app.core.contract.parked import Parked, Why
from app.core.contract.place import Hint, hint_for
from app.core.contract.seen import Seen
from app.core.contract.state import ContractState

_MAX_INDEX = 2**31 - 1
"""Event indexes are stored as 32-bit integers; no ledger has room for so many events."""


class ConfiguredReader:
    """The core's `ChainReader`."""

    def __init__(self, contracts: Mapping[str, ContractState]) -> None:
        """`contracts` by their address, as they are configured."""
        self.contracts = contracts
        self._ours = frozenset(contracts)
        self._tokens = frozenset(state.token for state in contracts.values() if state.token is not None)

    def read(self, raw: RawItem, hints: Sequence[Hint] = ()) -> Glance:
        """Return what an item says."""
        try:
            item = parse(raw)
        except Undecodable as error:
            return self._broken(raw, str(error))
        if item.place.index > _MAX_INDEX:
            return self._broken(raw, f"id: an event index of at most {_MAX_INDEX} expected")
        found = read(item, self._ours, self._tokens)
        if isinstance(found, Ignored):
            return Glance(raw, _key(item), item.place, item.contract_id, None, found.reason)
        if isinstance(found, Seen) and hints and (hint := hint_for(item.place, hints)):
            found = found._replace(hint=hint)
        return Glance(raw, _key(item), item.place, item.contract_id, found)

    def _broken(self, raw: RawItem, reason: str) -> Glance:
        """Return what cannot be read; it is parked, unless it says of itself that it is another contract's."""
        digest = hashlib.blake2b(json.dumps(raw, sort_keys=True).encode(), digest_size=16).hexdigest()
        contract_id = raw.get("contractId")
        if isinstance(contract_id, str) and contract_id not in self._ours:
            return Glance(raw, digest, None, None, None, "a contract that is not configured")
        ours = contract_id if isinstance(contract_id, str) else None
        return Glance(raw, digest, None, ours, Parked(Why.BROKEN, reason))


def _key(item: Item) -> str:
    return f"{item.place.transaction_hash}-{item.place.index}"
