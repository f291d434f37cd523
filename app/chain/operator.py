"""What an operator says of the chain: go on after a gap, and that an upgraded contract is understood."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from app.chain.position import ChainPosition
from app.chain.sink import contract_set
from app.core.contract.record import state_of, state_record
from app.core.contract.state import ContractState
from app.core.errors import Conflict, NotFound
from app.core.ports import Rows, Store
from app.core.stream_service import StreamService


async def status(store: Store, contracts: Sequence[str]) -> dict[str, Any]:
    """Return how far the contracts were read, and what is wrong. Raises Unavailable."""
    stored = await store.chain_position(contract_set(contracts))
    return {
        "contracts": sorted(contracts),
        "ledger": None if stored.position is None else ChainPosition.parse(stored.position).ledger,
        "position": stored.position,
        "gap": stored.gap,
        "resumed": stored.resumed,
        "parked": await store.parked_count(),
        "outages": {each.source: each.reason for each in await store.chain_outages()},
    }


async def resume(streams: StreamService, contracts: Sequence[str]) -> tuple[int, int]:
    """Allow the poller to go on after the gap; returns the ledgers that stay unread. Raises Conflict: there is none."""
    gaps: list[tuple[int, int]] = []

    async def allow(unit: Rows) -> None:
        name = contract_set(contracts)
        stored = await unit.chain.position(name)
        if stored.gap is None:
            message = "there is no gap: nothing has to be resumed"
            raise Conflict(message)
        await unit.chain.store_position(name, replace(stored, resumed=True))
        gaps.append(stored.gap)

    await streams.ingest((), also=allow)
    return gaps[-1]


async def confirm(streams: StreamService, contracts: Mapping[str, ContractState], contract_id: str) -> None:
    """Say that this version knows a contract's new code. Raises NotFound, Conflict: it was not upgraded."""
    configured = contracts.get(contract_id)
    if configured is None:
        message = f"{contract_id} is not in CHAIN_CONTRACTS"
        raise NotFound(message)

    async def end(unit: Rows) -> None:
        stored = (await unit.chain.lock_contracts([contract_id])).get(contract_id)
        before = state_of(configured, stored) if stored else configured
        after = before.confirmed()
        if after == before:
            message = f"no upgrade of {contract_id} is to be confirmed"
            raise Conflict(message)
        await unit.chain.store_contracts({contract_id: state_record(after)})
        await unit.chain.set_outage(after.source, after.told)

    await streams.ingest((), also=end)
