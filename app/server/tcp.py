"""Hypercorn's side of a connection, until the app takes it away."""

import asyncio
import socket
from contextlib import suppress
from ssl import SSLError
from typing import Any, Final

from hypercorn.asyncio.tcp_server import MAX_RECV, TCPServer
from hypercorn.events import Closed, RawData
from hypercorn.events import Event as ServerEvent

from app.server.connection import Connection

_UNSENT_BYTES: Final = 128 * 1024
"""The kernel takes no more than this beyond what the peer has room for, instead of up to 4 MB a connection. So a peer
that does not read costs little, and one that reads slowly is seen to make progress."""


class Server(TCPServer):
    """Hypercorn's connection, which makes itself known to the app, and lets go of it."""

    connections: set[Connection]

    def __init__(self, *args: Any) -> None:
        """Take what Hypercorn gives."""
        super().__init__(*args)
        if hasattr(socket, "TCP_NOTSENT_LOWAT"):
            with suppress(OSError):  # it may be gone already
                own = self.writer.get_extra_info("socket")
                own.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _UNSENT_BYTES)
        self.connection = Connection(self.reader, self.writer, self.loop.time)
        self.state = {**self.state, "connection": self.connection}
        self._running: asyncio.Task[Any] | None = None

    async def run(self) -> None:
        """Serve until the connection ends, or is detached."""
        self._running = asyncio.current_task()
        self.connections.add(self.connection)
        self.connection.on_lost = self.connections.discard
        try:
            await super().run()
        except asyncio.CancelledError:
            if self._running is None or not self.connection.detached:
                raise
            # asyncio closes the transport of a connection whose task was cancelled.
            self._running.uncancel()
        finally:
            if not self.connection.detached:
                self.connections.discard(self.connection)

    async def protocol_send(self, event: ServerEvent) -> None:
        """Send what the protocol has to say."""
        if self.connection.detached:
            if self._running is not None and not isinstance(event, RawData):
                # The app is done with its request; Hypercorn still waits for bytes, or for a pipelined request.
                self._running.cancel()
            return
        if isinstance(event, RawData):
            if self.connection.closing:
                # Whoever sends is told that the peer left, and gets the time to hear it.
                await self.protocol.handle(Closed())
                await asyncio.sleep(0)
                return
            self.connection.written += len(event.data)
        try:
            await super().protocol_send(event)
        except OSError:  # Hypercorn expects a ConnectionError, but a peer that is out of reach is none
            await self.protocol.handle(Closed())

    async def _read_data(self) -> None:
        while not self.reader.at_eof():
            try:
                data = await self.reader.read(MAX_RECV)
            except (OSError, SSLError):
                break
            self.connection.heard()
            await self.protocol.handle(RawData(data))
        await self.protocol.handle(Closed())
        # It would keep the connection of a client that left open for as long as one that may come back.
        await self.idle_task.stop()

    async def _close(self) -> None:
        if not self.connection.detached:
            with suppress(OSError):
                await super()._close()
