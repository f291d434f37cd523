"""Where the poller's items go: into the service's own writes, together with the position."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from app.chain.answers import RawItem
from app.chain.ports import FenceLost, Gap, Standing, Taken
from app.chain.position import ChainPosition
from app.chain.reread import reread
from app.chain.rpc import StellarRpc
from app.core.chain_port import StoredPosition
from app.core.changes import Ingested  # noqa: TC001 - with the others
from app.core.ports import Rows, Store
from app.core.stream_service import Also, StreamService

_AT_ONCE: Final = 1000
"""Items of one transaction, as of one request."""


def contract_set(contracts: Sequence[str]) -> str:
    """Return the name under which the position of these contracts is stored."""
    return " ".join(sorted(contracts))


class ServiceSink:
    """The poller's `ChainSink`. A position moves in the transaction that stores what was read up to there."""

    def __init__(self, streams: StreamService, store: Store, contracts: Sequence[str]) -> None:
        """`contracts` are polled together, from one position."""
        self._streams = streams
        self._store = store
        self._contracts = contracts
        self._set = contract_set(contracts)

    async def standing(self) -> Standing:
        """Return what is stored. Raises Unavailable."""
        stored = await self._store.chain_position(self._set)
        position = None if stored.position is None else ChainPosition.parse(stored.position)
        gap = None if stored.gap is None else Gap(*stored.gap)
        return Standing(position, gap, stored.resumed, stored.reread_due)

    async def take(self, items: Sequence[RawItem], after: ChainPosition | None, upto: ChainPosition) -> Taken:
        """Store what the items say, and move the position. Raises FenceLost, Unavailable, WriteCollision."""
        results: list[Ingested] = []
        while len(items) > _AT_ONCE:
            # More than one transaction has: the position stays, for what comes again is known by its keys.
            results += await self._streams.ingest(items[:_AT_ONCE], also=self._moving(after, lambda stored: stored))
            items = items[_AT_ONCE:]

        def moved(stored: StoredPosition) -> StoredPosition:
            return replace(stored, position=upto.cursor, gap=None, resumed=False)

        results += await self._streams.ingest(items, also=self._moving(after, moved))
        parked = sum(result.action == "parked" for result in results)
        events = sum(bool(result.ids) for result in results)
        return Taken(events=events, parked=parked, ignored=len(results) - events - parked)

    async def gap(self, gap: Gap, after: ChainPosition) -> None:
        """Store that nothing can be read from `after` on. Raises FenceLost, Unavailable, WriteCollision."""
        await self._move(after, lambda stored: replace(stored, gap=(gap.first, gap.last)))

    async def skip(self, gap: Gap, after: ChainPosition, upto: ChainPosition) -> None:
        """Go on behind the gap. Raises FenceLost, Unavailable, WriteCollision."""
        del gap
        await self._move(after, lambda _: StoredPosition(upto.cursor, reread_due=True))

    async def reread(self, rpc: StellarRpc, upto: ChainPosition) -> None:
        """Compare the streams with the contract's entries; ends `reread_due`. Raises as `take`, and RpcFault."""
        for contract_id in self._contracts:
            if not await reread(self._streams, rpc, contract_id, upto.ledger):
                return
        await self._move(upto, lambda stored: replace(stored, reread_due=False))

    async def _move(self, after: ChainPosition, change: Callable[[StoredPosition], StoredPosition]) -> None:
        await self._streams.ingest((), also=self._moving(after, change))

    def _moving(self, after: ChainPosition | None, change: Callable[[StoredPosition], StoredPosition]) -> Also:
        """Return what compares the stored position with the one that was gone on from, and sets the next."""

        async def move(unit: Rows) -> None:
            stored = await unit.chain.position(self._set)
            if stored.position != (None if after is None else after.cursor):
                message = "another poller was here"
                raise FenceLost(message)
            changed = change(stored)
            if changed != stored:
                await unit.chain.store_position(self._set, changed)

        return move
