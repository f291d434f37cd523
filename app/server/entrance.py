"""Where connections come in: a plain request for a feed is served at once, all else is Hypercorn's as it came.

A connect through Hypercorn and Quart takes four tasks, three streams and two parsers.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Final, Protocol

from app.server.connection import Connection
from app.server.deadline import Deadline
from app.server.door import Door
from app.server.plain_get import PlainGet, plain_get

UNSENT_BYTES: Final = 128 * 1024
"""The kernel takes no more than this beyond what the peer has room for, instead of up to 4 MB a connection. So a peer
that does not read costs little, and one that reads slowly is seen to make progress."""

_FIRST_BYTES: Final = 4096
_first_bytes: Final = memoryview(bytearray(_FIRST_BYTES))

Callback = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class QuickFeeds(Protocol):
    """Serves requests that need no framework."""

    @property
    def paths(self) -> frozenset[bytes]:
        """What they may be for."""

    def take(self, request: PlainGet, connection: Connection, peer: str | None) -> bool:
        """Serve one, and take the connection; False: it was not touched, and somebody else must."""


class Entrance:
    """Lets connections in, and shows each to whom it is for."""

    def __init__(self, quick: QuickFeeds, door: Door, connections: set[Connection]) -> None:
        """Let in by `door`; `connections` are those that are open, whoever serves them."""
        self.quick = quick
        self.door = door
        self.connections = connections
        self.silent: set[Guest] = set()

    async def listen(self, callback: Callback, **options: Any) -> asyncio.Server:
        """Listen, as `asyncio.start_server` does."""
        loop = asyncio.get_running_loop()
        return await loop.create_server(lambda: Guest(self, callback, loop), **options)

    def close(self) -> None:
        """Close the connections of those who have said nothing."""
        for guest in list(self.silent):
            guest.turn_out()


class Guest(asyncio.BufferedProtocol):
    """A connection that has said nothing yet."""

    __slots__ = ("_callback", "_deadline", "_entrance", "_loop", "_transport")

    waits = True

    def __init__(self, entrance: Entrance, callback: Callback, loop: asyncio.AbstractEventLoop) -> None:
        """Wait to be connected; `callback` is Hypercorn's."""
        self._entrance = entrance
        self._callback = callback
        self._loop = loop
        self._deadline = Deadline(loop)

    def connection_made(self, transport: Any) -> None:
        """Wait for its first bytes, for a while. Over TLS it speaks to Hypercorn at once."""
        self._transport = transport
        entrance = self._entrance
        if hasattr(socket, "TCP_NOTSENT_LOWAT"):
            with suppress(OSError):  # it may be gone already, or be no TCP
                own = transport.get_extra_info("socket")
                own.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_BYTES)
        if transport.get_extra_info("ssl_object") is not None or not entrance.door.enter(self):
            self._hand_over(b"")
            return
        entrance.silent.add(self)
        self._deadline.set(entrance.door.limits.request_timeout, transport.close)

    def get_buffer(self, sizehint: int) -> memoryview:
        """Return where to read to."""
        del sizehint
        return _first_bytes

    def buffer_updated(self, nbytes: int) -> None:
        """Look at what came first."""
        data = bytes(_first_bytes[:nbytes])
        self._leave()
        if not self._served(data):
            self._hand_over(data)

    def turn_out(self) -> None:
        """End the connection."""
        self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Hear that it has ended."""
        del exc
        self._leave()

    def _leave(self) -> None:
        self._deadline.cancel()
        self._entrance.silent.discard(self)
        self._entrance.door.leave(self)

    def _served(self, data: bytes) -> bool:
        entrance = self._entrance
        request = plain_get(data, entrance.quick.paths)
        if request is None:
            return False
        peer = self._transport.get_extra_info("peername")
        connection = Connection(self._transport, self._loop.time)
        if not entrance.quick.take(request, connection, peer[0] if isinstance(peer, tuple) else None):
            return False
        entrance.connections.add(connection)
        connection.on_lost = entrance.connections.discard
        return True

    def _hand_over(self, data: bytes) -> None:
        """Give the connection to Hypercorn as if it had just come, with what came on it."""
        reader = asyncio.StreamReader(loop=self._loop)
        protocol = asyncio.StreamReaderProtocol(reader, self._callback, loop=self._loop)
        self._transport.set_protocol(protocol)
        protocol.connection_made(self._transport)
        if data:
            reader.feed_data(data)
