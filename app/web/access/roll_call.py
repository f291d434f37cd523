"""Who is connected, in every process: each is asked, and each answers for itself."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import orjson

from app.core.access.ports import AccessStore
from app.web.access.revoked import LOOK_SECONDS
from app.web.access.secrets import new_secret

_MARK: Final = "roll_call"
_WAIT_SECONDS: Final = 2 * LOOK_SECONDS + 0.2
"""Every process hears of a call within one look; the second one is for a database or a process that is slow."""

_KEEP_SECONDS: Final = 30.0

Listed = Callable[["Asked"], dict[str, Any]]
"""Tells the connections of this process."""


@dataclass(frozen=True, slots=True)
class Asked:
    """Which connections: of one principal or of all, and at most so many of each process."""

    principal: str | None
    limit: int


class RollCall:
    """Asks all processes on the same database. It is heard by the list of revocations, which all of them follow."""

    def __init__(self, store: AccessStore) -> None:
        """Ask and answer by way of the store."""
        self._store = store
        self._heard: asyncio.Queue[tuple[str, Asked]] = asyncio.Queue()
        self._own: set[str] = set()

    def hear(self, what: str) -> None:
        """Take a line of the list of revocations; only calls of other processes matter."""
        mark, _, told = what.partition(":")
        if mark == _MARK:
            call, principal, limit = orjson.loads(told)
            if call not in self._own:
                self._heard.put_nowait((call, Asked(principal, limit)))

    async def answer(self, listed: Listed) -> None:
        """Answer calls until cancelled."""
        me = new_secret()
        while True:
            call, asked = await self._heard.get()
            await self._store.put(_kind(call), me, listed(asked), time.time() + _KEEP_SECONDS)

    async def ask(self, asked: Asked) -> list[dict[str, Any]]:
        """Return what the other processes answer within a second or so. Raises Unavailable."""
        call = new_secret()
        self._own.add(call)
        try:
            told = orjson.dumps([call, asked.principal, asked.limit]).decode()
            await self._store.announce(f"{_MARK}:{told}", time.time() + _KEEP_SECONDS)
            await asyncio.sleep(_WAIT_SECONDS)
            return await self._store.found(_kind(call))
        finally:
            self._own.discard(call)


def _kind(call: str) -> str:
    return f"{_MARK}:{call}"
