"""Ends connections whose peer is gone or does not read: one wheel for all of them."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, Protocol

_LONGEST_TICK: Final = 1.0
_TICKS: Final = 10
_LOOKS: Final = 6
"""Looks at a socket's progress within the write deadline; each is a system call."""


class Wire(Protocol):
    """What is known of a client's connection (`app.server.connection.Connection`)."""

    last_read: float
    written: int

    @property
    def buffered(self) -> int:
        """Bytes written and not taken by the kernel."""

    @property
    def outstanding(self) -> int:
        """Bytes written and not acknowledged by the peer."""

    def write(self, data: bytes) -> bool:
        """Write beside the server; False when the buffer is over its mark."""

    async def drained(self) -> None:
        """Wait until it is not."""

    def abort(self) -> None:
        """End it at once."""


class Pinger(Protocol):
    """Can ping the client; an SSE connection has none."""

    async def ping(self) -> None:
        """Send a WebSocket ping."""


class Watched:
    """A connection under watch. `verdict` says why it was ended, if it was."""

    def __init__(self, wire: Wire, pinger: Pinger | None, now: float) -> None:
        """Watch from now on."""
        self.wire = wire
        self.pinger = pinger
        self.verdict: str | None = None
        self.pinged_at = now
        self.awaiting_pong = False
        self.taken = 0
        self.looked_at = now
        self.progress_at = now

    def end(self, verdict: str) -> None:
        """End the connection."""
        self.verdict = self.verdict or verdict
        self.wire.abort()


class Liveness:
    """Pings WebSockets, and ends who did not answer since the last ping, or whose socket takes nothing."""

    def __init__(self, *, heartbeat: float, write_timeout: float) -> None:
        """Both in seconds."""
        self._heartbeat = heartbeat
        self._write_timeout = write_timeout
        self._tick = min(_LONGEST_TICK, heartbeat / _TICKS, write_timeout / _TICKS)
        self._watched: set[Watched] = set()
        self._pings: set[asyncio.Task[None]] = set()
        self.terminated = 0

    @contextmanager
    def watch(self, wire: Wire | None, pinger: Pinger | None) -> Iterator[Watched | None]:
        """Keep a connection under watch; a server that does not show it has to look after it."""
        if wire is None:
            yield None
            return
        watched = Watched(wire, pinger, asyncio.get_running_loop().time())
        self._watched.add(watched)
        try:
            yield watched
        finally:
            self._watched.discard(watched)

    async def run(self) -> None:
        """Turn the wheel until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(self._tick)
            self.check(loop.time())

    def check(self, now: float) -> None:
        """Look at every connection once."""
        for watched in list(self._watched):
            verdict = self._slow(watched, now) or self._vanished(watched, now)
            if verdict and not watched.verdict:
                self.terminated += 1
                watched.end(verdict)

    def _slow(self, watched: Watched, now: float) -> str | None:
        # The kernel's own deadline (TCP_USER_TIMEOUT) ends slow readers too: a small window counts as no progress.
        overdue = now - watched.progress_at >= self._write_timeout
        if overdue or now - watched.looked_at >= self._write_timeout / _LOOKS:
            watched.looked_at = now
            outstanding = watched.wire.outstanding
            taken = watched.wire.written - outstanding
            if not outstanding or taken > watched.taken:
                watched.progress_at = now
            watched.taken = taken
        return "slow" if now - watched.progress_at >= self._write_timeout else None

    def _vanished(self, watched: Watched, now: float) -> str | None:
        # A ping behind data that is stuck could not be answered: then the write deadline decides.
        if watched.pinger is None or now - watched.pinged_at < self._heartbeat or watched.wire.buffered:
            return None
        if watched.awaiting_pong and watched.wire.last_read < watched.pinged_at:
            return "vanished"
        watched.pinged_at, watched.awaiting_pong = now, True
        ping = asyncio.ensure_future(watched.pinger.ping())
        self._pings.add(ping)
        ping.add_done_callback(self._pings.discard)
        return None
