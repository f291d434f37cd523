"""Pings, keeps alive, and ends connections whose peer is gone or does not read: one wheel for all of them."""

import asyncio
from collections.abc import Callable, Collection
from typing import Final, Protocol

import structlog

from app.core.slices import in_slices
from app.web.feed.connection import ClientConnection

_LONGEST_TICK: Final = 1.0
_TICKS: Final = 10
_LOOKS: Final = 3
"""Looks at a socket's progress within the write deadline; each is a system call."""

VERDICTS: Final = ("slow", "vanished", "shutdown", "internal error")
"""What `Watched.verdict` says, where it is the service that gave up; else it is a text for the log."""

_logger = structlog.get_logger(__name__)


class Pinger(Protocol):
    """Can ping the client; an SSE connection has none."""

    def ping(self) -> None:
        """Send a WebSocket ping."""


class Watched:
    """A connection under watch. `verdict` says why it was ended, if it was; `beat` is called now and then."""

    __slots__ = (
        "awaiting_pong",
        "beat",
        "connection",
        "looked_at",
        "pinged_at",
        "pinger",
        "progress_at",
        "taken",
        "verdict",
    )

    def __init__(self, connection: ClientConnection, pinger: Pinger | None, now: float) -> None:
        """Watch from now on."""
        self.connection = connection
        self.pinger = pinger
        self.beat: Callable[[float], None] | None = None
        self.verdict: str | None = None
        self.pinged_at = now
        self.awaiting_pong = False
        self.taken = 0
        self.looked_at = now
        self.progress_at = now

    def end(self, verdict: str) -> None:
        """End the connection."""
        self.verdict = self.verdict or verdict
        self.connection.abort()


class Liveness:
    """Pings WebSockets, and ends who did not answer since the last ping, or whose socket takes nothing."""

    def __init__(self, *, heartbeat: float, write_timeout: float, keepalive: float) -> None:
        """All in seconds."""
        self._heartbeat = heartbeat
        self._write_timeout = write_timeout
        self._tick = min(_LONGEST_TICK, heartbeat / _TICKS, write_timeout / _TICKS, keepalive / _TICKS)
        self._watched: set[Watched] = set()
        self.terminated = 0

    def watch(self, connection: ClientConnection, pinger: Pinger | None = None) -> Watched:
        """Keep a connection under watch."""
        watched = Watched(connection, pinger, asyncio.get_running_loop().time())
        self._watched.add(watched)
        return watched

    @property
    def watched(self) -> Collection[Watched]:
        """The connections under watch."""
        return self._watched

    def forget(self, watched: Watched) -> None:
        """Watch it no more."""
        self._watched.discard(watched)
        # They are the session's, which holds on to what is watched.
        watched.pinger = watched.beat = None

    async def run(self) -> None:
        """Turn the wheel until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(self._tick)
            async for watched in in_slices(self._watched):
                self._check_safely(watched, loop.time())

    def _check_safely(self, watched: Watched, now: float) -> None:
        try:
            self.check(watched, now)
        except Exception:
            # It is this connection's, and the wheel turns for all.
            _logger.exception("liveness_failed")
            watched.end("internal error")

    def check(self, watched: Watched, now: float) -> None:
        """Look at a connection."""
        verdict = self._slow(watched, now) or self._vanished(watched, now)
        if verdict is None:
            if watched.beat is not None:
                watched.beat(now)
        elif not watched.verdict:
            self.terminated += 1
            watched.end(verdict)

    def _slow(self, watched: Watched, now: float) -> str | None:
        # The kernel's own deadline (TCP_USER_TIMEOUT) ends slow readers too: a small window counts as no progress.
        overdue = now - watched.progress_at >= self._write_timeout
        if overdue or now - watched.looked_at >= self._write_timeout / _LOOKS:
            watched.looked_at = now
            outstanding = watched.connection.outstanding
            taken = watched.connection.written - outstanding
            if not outstanding or taken > watched.taken:
                watched.progress_at = now
            watched.taken = taken
        return "slow" if now - watched.progress_at >= self._write_timeout else None

    def _vanished(self, watched: Watched, now: float) -> str | None:
        # A ping behind data that is stuck could not be answered: then the write deadline decides.
        if watched.pinger is None or now - watched.pinged_at < self._heartbeat or watched.connection.buffered:
            return None
        if watched.awaiting_pong and watched.connection.last_read < watched.pinged_at:
            return "vanished"
        watched.pinged_at, watched.awaiting_pong = now, True
        watched.pinger.ping()
        return None
