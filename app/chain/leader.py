"""One poller among many processes: the one that holds the lease."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

import structlog

from app.chain.ports import Lease
from app.chain.progress import Progress
from app.core.errors import FluxoraError

LEASE_SECONDS: Final = 9.0

_logger = structlog.stdlib.get_logger(__name__)


class Leader:
    """Works while it has the lease. The lease saves work; that nothing is taken twice is the fence's business."""

    def __init__(
        self,
        lease: Lease,
        owner: str,
        work: Callable[[], Awaitable[None]],
        progress: Progress,
        *,
        seconds: float = LEASE_SECONDS,
    ) -> None:
        """`owner` is this process's own name; `seconds`: how long the others wait for one that died."""
        self._lease = lease
        self._owner = owner
        self._work = work
        self._progress = progress
        self._seconds = seconds

    async def run(self) -> None:
        """Try for the lease, work while it is held, until cancelled; give it back at the end."""
        try:
            while True:
                asked = self._now
                if await self._try(self._lease.acquire):
                    await self._lead(asked)
                await asyncio.sleep(self._seconds / 3)
        finally:
            with suppress(FluxoraError, TimeoutError):
                async with asyncio.timeout(1.0):
                    await self._lease.release(self._owner)

    @property
    def _now(self) -> float:
        return asyncio.get_running_loop().time()

    async def _lead(self, held_from: float) -> None:
        """Work, and renew at a third; stop when the lease is lost, or may be by our own clock."""
        _logger.info("chain_poller_leads", owner=self._owner)
        self._progress.leader = True
        work = asyncio.ensure_future(self._work())
        try:
            # A renewal may hang for a third: whoever began one in the last third could work past the end.
            while not work.done() and self._now - held_from < self._seconds * 2 / 3:
                await asyncio.wait([work], timeout=self._seconds / 3)
                asked = self._now
                kept = await self._try(self._lease.renew)
                if kept is False:
                    break
                held_from = asked if kept else held_from
        finally:
            self._progress.leader = False
            work.cancel()
            ended = await asyncio.gather(work, return_exceptions=True)
            _logger.info("chain_poller_leads_no_more", owner=self._owner, reason=repr(ended[0]))

    async def _try(self, ask: Callable[[str, float], Awaitable[bool]]) -> bool | None:
        """Return the answer, or None if none came: a database that hangs must not keep us leading."""
        try:
            async with asyncio.timeout(self._seconds / 3):
                return await ask(self._owner, self._seconds)
        except (FluxoraError, TimeoutError) as error:
            _logger.warning("chain_lease_unknown", reason=str(error) or type(error).__name__)
            return None
