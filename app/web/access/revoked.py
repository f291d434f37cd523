"""What was said to all processes: credentials that count no more, connections that must end, calls for a list."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from app.core.access.ports import AccessStore
from app.core.errors import FluxoraError

LOOK_SECONDS: Final = 0.5
"""How often the list is read: what is in it acts within this time, in every process."""

Ended = Callable[[str], Awaitable[None]]
"""Ends the connections of a credential, or of whom else it names."""

_logger = structlog.stdlib.get_logger(__name__)


async def nobody(what: str) -> None:
    """End no connection: there are none yet."""
    del what


class Revoked:
    """Follows the list of revocations, from the beginning on."""

    def __init__(self, store: AccessStore, *, now: Callable[[], float] = time.time) -> None:
        """Know of none yet; `ended` is told of each when it is first seen."""
        self._store = store
        self._now = now
        self._last = 0
        self._until: dict[str, float] = {}
        self.ended: Ended = nobody

    def has(self, credential: str | None) -> bool:
        """Tell whether a credential was revoked."""
        return credential is not None and self._until.get(credential, 0.0) > self._now()

    async def run(self) -> None:
        """Look again and again until cancelled."""
        while True:
            try:
                await self.look()
            except FluxoraError as error:
                _logger.debug("revocations_not_read", reason=str(error))
            await asyncio.sleep(LOOK_SECONDS)

    async def look(self) -> None:
        """Act on what is new. Raises Unavailable."""
        for each in await self._store.revocations(self._last):
            self._last = each.id
            self._until[each.what] = each.until
            await self.ended(each.what)
        over = [what for what, until in self._until.items() if until <= self._now()]
        for what in over:
            del self._until[what]
