"""The connection behind a request: what ASGI does not show of it, and what Hypercorn must do otherwise.

The ASGI `state` of every request has a `Connection` under `connection`; that of a WebSocket also has a `Pinger` under
`pinger`. Other servers, and test clients, offer neither.
"""

import asyncio
import fcntl
import socket
import sys
import termios
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from ssl import SSLError
from typing import Any, Final, Protocol, cast

import hypercorn.asyncio.run
import hypercorn.protocol.h2
import hypercorn.protocol.h11
import hypercorn.protocol.ws_stream
from hypercorn.asyncio.tcp_server import MAX_RECV, TCPServer
from hypercorn.events import Closed, RawData
from hypercorn.events import Event as ServerEvent
from hypercorn.protocol.events import Event, Request, StreamClosed
from hypercorn.protocol.ws_stream import WSStream
from wsproto.events import CloseConnection, Message, Ping, TextMessage

_UNSENT_BYTES: Final = 128 * 1024
"""The kernel takes no more than this beyond what the peer has room for, instead of up to 4 MB a connection. So a peer
that does not read costs little, and one that reads slowly is seen to make progress."""

_FRAMES_PER_SECOND: Final = 200
"""A client's messages are limited far below, but those that keep the limit may come in pieces, and with pings."""

WRITE_MARK: Final = 64 * 1024
"""asyncio's own high mark: above it, the transport pauses its writer."""


_PACE_SECONDS: Final = 0.05
_INTEGER: Final = bytes(4)


class Connection:
    """One TCP connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, now: Callable[[], float]) -> None:
        """`now` is the event loop's time."""
        self._reader = reader
        self._writer = writer
        self._transport = writer.transport
        self.finished = False
        self._now = now
        self.last_read = now()
        self.written = 0

    @property
    def buffered(self) -> int:
        """Bytes that were written and that the kernel has not taken."""
        return self._transport.get_write_buffer_size()

    @property
    def outstanding(self) -> int:
        """Bytes that were written and that the peer has not acknowledged."""
        sent = self._transport.get_extra_info("socket")
        if sent is None or self._transport.is_closing():
            return self.buffered
        unacknowledged = fcntl.ioctl(sent.fileno(), termios.TIOCOUTQ, _INTEGER)
        return self.buffered + int.from_bytes(unacknowledged, sys.byteorder)

    def heard(self) -> None:
        """Note that bytes came from the peer."""
        self.last_read = self._now()

    @property
    def closing(self) -> bool:
        """Whether it has ended, whatever was read of it before."""
        return self._transport.is_closing()

    @property
    def left(self) -> bool:
        """Whether the peer sends no more."""
        # `at_eof` would wait for what is read from the socket and not handled yet.
        return self._transport.is_closing() or bool(self._reader._eof)  # type: ignore[attr-defined]

    def write(self, data: bytes) -> bool:
        """Write beside Hypercorn, which writes whole frames and chunks too. False: the buffer is over its mark."""
        transport = self._transport
        if self.finished or transport.is_closing():
            return False
        self.written += len(data)
        transport.write(data)
        return transport.get_write_buffer_size() <= WRITE_MARK

    async def drained(self) -> None:
        """Wait until the buffer is well below its mark. Raises ConnectionError when nothing can be written any more."""
        if self.finished or self.closing:
            raise ConnectionResetError
        try:
            await self._writer.drain()
        except OSError as error:
            raise ConnectionResetError from error

    def abort(self) -> None:
        """End the connection at once, whatever is buffered: a peer that does not read would never let it close."""
        self._transport.abort()


class Pinger(Protocol):
    """Sends WebSocket pings: ASGI has no message for it."""

    async def ping(self) -> None:
        """Send a ping."""


class _Server(TCPServer):
    """Hypercorn's connection, which makes itself known to the app."""

    connections: set[Connection]

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        if hasattr(socket, "TCP_NOTSENT_LOWAT"):
            with suppress(OSError):  # it may be gone already
                own = self.writer.get_extra_info("socket")
                own.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _UNSENT_BYTES)
        self.connection = Connection(self.reader, self.writer, self.loop.time)
        self.state = {**self.state, "connection": self.connection}

    async def run(self) -> None:
        self.connections.add(self.connection)
        try:
            await super().run()
        finally:
            self.connections.discard(self.connection)

    async def protocol_send(self, event: ServerEvent) -> None:
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
        with suppress(OSError):
            await super()._close()


class _WebSocket(WSStream):
    """Hypercorn's WebSocket, which can ping, measures messages in bytes, and leaves closing to the app."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._size = 0
        self._too_big = False
        self._frames = 0
        self._second = 0.0

    async def handle(self, event: Event) -> None:
        if isinstance(event, Request):
            event = replace(event, state=cast("Any", {**event.state, "pinger": self}))
        await super().handle(event)

    async def app_send(self, message: Any) -> None:
        if message is None and self.app_put is not None:
            # The app has ended and takes no more messages: who waits for room, or would, must not wait for ever.
            queue: asyncio.Queue[Any] = self.app_put.__self__  # type: ignore[attr-defined]
            self.app_put = _drop
            while not queue.empty():
                queue.get_nowait()
        await super().app_send(message)

    async def ping(self) -> None:
        await self._send_wsproto_event(Ping())

    async def _handle_events(self) -> None:
        for event in self.connection.events():
            await self._pace()
            if self.closed or self.scope["state"]["connection"].closing:
                return
            if isinstance(event, Message):
                await self._take(event)
            elif isinstance(event, Ping):
                await self._send_wsproto_event(event.response())
            elif isinstance(event, CloseConnection):
                # Nothing may follow a close frame.
                self.scope["state"]["connection"].finished = True
                # The peer's close frame, or what wsproto makes of a frame that breaks the protocol (1002, 1007).
                await self._send_wsproto_event(CloseConnection(event.code, event.reason))
                await self.send(StreamClosed(stream_id=self.stream_id))

    async def _pace(self) -> None:
        """Take only so many frames a second; more wait in the kernel, and then at the peer.

        Pings and pieces of messages are no messages, so nothing else keeps a peer from filling the process's time.
        """
        loop = asyncio.get_running_loop()
        if loop.time() - self._second >= 1:
            self._second, self._frames = loop.time(), 0
        self._frames += 1
        connection: Connection = self.scope["state"]["connection"]
        while self._frames > _FRAMES_PER_SECOND and loop.time() - self._second < 1:
            if connection.left:
                # Nobody is there to want an answer to the rest.
                connection.abort()
                return
            await asyncio.sleep(_PACE_SECONDS)

    async def _take(self, event: Message[Any]) -> None:
        """Add a piece to the client's message.

        Hypercorn counts characters, up to four bytes each, and closes without telling the app. Here the app is shown
        that a message is too big, as soon as it is, by one that is just too big; the rest of it is dropped.
        """
        self._size += len(event.data.encode()) if isinstance(event, TextMessage) else len(event.data)
        limit = self.config.websocket_max_message_size
        if self._size > limit:
            if not self._too_big:
                self._too_big = True
                await self._put({"type": "websocket.receive", "bytes": None, "text": " " * (limit + 1)})
            return
        self.buffer.extend(event)
        if event.message_finished:
            await self._put(self.buffer.to_message())
            self.buffer.clear()
            self._size = 0

    async def _put(self, message: dict[str, Any]) -> None:
        if self.app_put is not None:
            await self.app_put(message)


async def _drop(message: Any) -> None:
    """Take a message for an app that has ended."""


def install() -> set[Connection]:
    """Make Hypercorn use these classes, and return the set of its open connections.

    Also turns permessage-deflate off, for which Hypercorn has no switch: a message of 200 MB of one letter took 316 MB,
    and a connection's compression state costs more than the rest of it.
    """
    connections: set[Connection] = set()
    server = type("Server", (_Server,), {"connections": connections})
    hypercorn.asyncio.run.TCPServer = server  # type: ignore[assignment, attr-defined]
    for module in (hypercorn.protocol.h11, hypercorn.protocol.h2):
        setattr(module, "WSStream", _WebSocket)  # noqa: B010 - mypy knows the modules too well
    hypercorn.protocol.ws_stream.server_extensions_handshake = lambda *_: None  # type: ignore[attr-defined]
    return connections
