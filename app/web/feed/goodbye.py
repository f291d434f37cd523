"""The end of all feeds: who reads is told and has all that was written; nobody waits for who does not."""

import asyncio
from typing import Final

from app.core.slices import in_slices
from app.web.feed.liveness import Watched
from app.web.services import Services

_POLL_SECONDS: Final = 0.02
_LOOK_SECONDS: Final = 0.25
"""Between two looks at everybody's progress; each is a system call a connection."""

_PATIENCE_SECONDS: Final = 1.0
"""Who has taken nothing for so long, or was told everything and does not leave, is cut."""


async def say_goodbye(services: Services, deadline: float) -> None:
    """Tell every client, and wait until all have left, are cut, or the loop's time is `deadline`."""
    loop = asyncio.get_running_loop()
    await services.feed.close()
    progress: dict[Watched, tuple[int, float]] = {}
    looked_at = loop.time()
    while services.guard.by_transport.total() and loop.time() < deadline:
        await asyncio.sleep(_POLL_SECONDS)
        if loop.time() - looked_at >= _LOOK_SECONDS:
            looked_at = loop.time()
            progress = await _cut_who_does_not_move(services, progress, looked_at)


async def _cut_who_does_not_move(
    services: Services, before: dict[Watched, tuple[int, float]], now: float
) -> dict[Watched, tuple[int, float]]:
    """Look at everybody; return how much each has taken, and since when no more."""
    progress: dict[Watched, tuple[int, float]] = {}
    async for watched in in_slices(services.liveness.watched):
        taken = watched.connection.written - watched.connection.outstanding
        known, since = before.get(watched, (-1, now))
        if taken != known:
            since = now
        progress[watched] = (taken, since)
        if now - since >= _PATIENCE_SECONDS:
            watched.end("shutdown")
    return progress
