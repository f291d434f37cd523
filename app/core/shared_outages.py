"""What is out of order for every process: kept in the database, told by each, also after a restart."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Final

import structlog

from app.core.chain_port import StoredPosition
from app.core.errors import FluxoraError
from app.core.outages import Outages
from app.core.ports import Store, UnitOfWork
from app.core.stream_service import StreamService

_LOOK_SECONDS: Final = 1.0
_logger = structlog.stdlib.get_logger(__name__)


class SharedOutages:
    """Tells this process's readers what any process stored."""

    def __init__(
        self,
        outages: Outages,
        store: Store,
        streams: StreamService,
        *,
        contract_set: str,
        known: Callable[[int, StoredPosition], None],
    ) -> None:
        """`known` is told at each look how many items of the chain wait, and how far `contract_set` was read."""
        self._outages = outages
        self._store = store
        self._streams = streams
        self._contract_set = contract_set
        self._known = known
        self._turn = asyncio.Lock()
        """A look that began before a change must not undo it."""

    async def run(self) -> None:
        """Look again and again, until cancelled. A database that cannot be read is the relay's to tell."""
        while True:
            try:
                await self.look()
            except FluxoraError as error:
                _logger.debug("outages_not_read", reason=str(error))
            await asyncio.sleep(_LOOK_SECONDS)

    async def look(self) -> None:
        """Tell what began or ended since the last look. Raises Unavailable."""
        async with self._turn:
            await self._look()

    async def _look(self) -> None:
        # Only what was told before the read may be over by it: what is told meanwhile is newer.
        told = set(self._outages.stored)
        stored = {each.source: each for each in await self._store.chain_outages()}
        for source, each in stored.items():
            self._outages.tell(source, each.reason, since=each.since)
        for source in told - set(stored):
            self._outages.tell(source, None)
        self._known(await self._store.parked_count(), await self._store.chain_position(self._contract_set))

    async def degraded(self, source: str, reason: str) -> None:
        """Store and tell that a source is out of order; the same again is no news. Raises Unavailable."""
        if self._outages.reason(source) == reason:
            return
        async with self._turn:
            await self._set(source, reason)
            self._outages.tell(source, reason)
        _logger.error("source_degraded", source=source, reason=reason)

    async def recovered(self, source: str, reason: str) -> None:
        """Store and tell that it is in order again, if it was not. Raises Unavailable."""
        if source not in self._outages:
            return
        async with self._turn:
            await self._set(source, None)
            self._outages.end(source, reason)
        _logger.warning("source_recovered", source=source)

    async def _set(self, source: str, reason: str | None) -> None:
        async def change(unit: UnitOfWork, source: str, reason: str | None) -> None:
            await unit.chain.set_outage(source, reason)

        await self._streams.ingest((), also=partial(change, source=source, reason=reason))
