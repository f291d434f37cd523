"""What is out of order for every process: kept in the database, told by each, also after a restart."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Final

import structlog

from app.core.errors import FluxoraError
from app.core.outages import Outages
from app.core.ports import Store, UnitOfWork
from app.core.stream_service import StreamService

_LOOK_SECONDS: Final = 1.0
_logger = structlog.stdlib.get_logger(__name__)


class SharedOutages:
    """Tells this process's readers what any process stored."""

    def __init__(
        self, outages: Outages, store: Store, streams: StreamService, *, parked: Callable[[int], None]
    ) -> None:
        """`parked` is told how many items of the chain wait, as of each look."""
        self._outages = outages
        self._store = store
        self._streams = streams
        self._parked = parked
        self._told: set[str] = set()

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
        stored = {each.source: each for each in await self._store.chain_outages()}
        for source, each in stored.items():
            self._outages.begin(source, each.reason, since=each.since)
        for source in self._told - set(stored):
            self._outages.end(source, "it is over")
        self._told = set(stored)
        self._parked(await self._store.parked_count())

    async def degraded(self, source: str, reason: str) -> None:
        """Store and tell that a source is out of order; the same again is no news. Raises Unavailable."""
        if self._outages.reason(source) == reason:
            return
        await self._set(source, reason)
        self._told.add(source)
        self._outages.begin(source, reason)
        _logger.error("source_degraded", source=source, reason=reason)

    async def recovered(self, source: str, reason: str) -> None:
        """Store and tell that it is in order again, if it was not. Raises Unavailable."""
        if source not in self._outages:
            return
        await self._set(source, None)
        self._told.discard(source)
        self._outages.end(source, reason)
        _logger.warning("source_recovered", source=source)

    async def _set(self, source: str, reason: str | None) -> None:
        async def change(unit: UnitOfWork, source: str, reason: str | None) -> None:
            await unit.chain.set_outage(source, reason)

        await self._streams.ingest((), also=partial(change, source=source, reason=reason))
