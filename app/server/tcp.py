"""Hypercorn's side of a connection, until the app takes it away."""

import asyncio
from contextlib import suppress
from http import HTTPStatus
from ssl import SSLError
from typing import Any, Final, cast

from hypercorn.asyncio.tcp_server import MAX_RECV, TCPServer
from hypercorn.events import Closed, RawData, Updated
from hypercorn.events import Event as ServerEvent

from app.server.connection import Connection
from app.server.deadline import Deadline
from app.server.door import Door
from app.server.http1 import Http1
from app.server.refusal import Refusal

_LINGER_SECONDS: Final = 2.0
_LINGER_BYTES: Final = 4 * 1024 * 1024
"""What is dropped of a client that goes on sending behind its last answer: a reset would take the answer from it."""

_LATE: Final = Refusal(HTTPStatus.REQUEST_TIMEOUT, "The request did not arrive in time.")
_FULL: Final = Refusal(HTTPStatus.SERVICE_UNAVAILABLE, "Too many connections are being served; come back later.")


class Server(TCPServer):
    """Hypercorn's connection, which makes itself known to the app, and lets go of it.

    Until then it has a deadline for whatever it waits for: a request's head, its body, a reader of the answer.
    """

    connections: set[Connection]
    door: Door

    def __init__(self, *args: Any) -> None:
        """Take what Hypercorn gives."""
        super().__init__(*args)
        transport = cast("asyncio.Transport", self.writer.transport)
        self._streams = transport.get_protocol()
        self.connection = Connection(transport, self.loop.time, (self.reader, self.writer))
        self.state = {**self.state, "connection": self.connection}
        self._running: asyncio.Task[Any] | None = None
        self._deadline = Deadline(self.loop)
        self._idle = asyncio.Event()
        self._begun = False
        self._lingers = False
        self._tasks: set[asyncio.Task[Any]] = set()

    @property
    def waits(self) -> bool:
        """Whether the client has asked for nothing yet, or not in full."""
        return self._http is None or self._http.awaits_request

    @property
    def _http(self) -> Http1 | None:
        wrapper = getattr(self, "protocol", None)
        protocol = wrapper and wrapper.protocol
        return protocol if isinstance(protocol, Http1) else None

    def turn_out(self) -> None:
        """End the connection, for another wants its place."""
        self.connection.abort()

    async def run(self) -> None:
        """Serve until the connection ends, or is detached."""
        self._running = asyncio.current_task()
        self.connections.add(self.connection)
        self.connection.on_lost = self.connections.discard
        self.connection.on_feed = self._leave
        try:
            if self.door.enter(self):
                self._deadline.set(self.door.limits.request_timeout, self._late)
                await super().run()
            else:
                await self._turn_away()
        except asyncio.CancelledError as cancelled:
            if self._running is None or not self.connection.detached:
                raise
            # asyncio closes the transport of a connection whose task was cancelled.
            self._running.uncancel()
            cancelled.__traceback__ = None
        finally:
            self._leave()
            if not self.connection.detached:
                self.connections.discard(self.connection)
            self._let_go()

    def _let_go(self) -> None:
        """Take apart what holds on to each other, now that its tasks have ended: the collector comes almost never."""
        if (error := self.reader.exception()) is not None:
            error.__traceback__ = None
        if self.connection.detached:
            self._streams.connection_lost(None)  # for them it is over, but they were not told
        if not self._tasks:
            vars(self).clear()

    def _leave(self) -> None:
        self._deadline.cancel()
        self.door.leave(self)

    async def _turn_away(self) -> None:
        self.writer.write(bytes(_FULL.answer))
        self._linger()
        await self._drop()
        await self._close()

    async def protocol_send(self, event: ServerEvent) -> None:
        """Send what the protocol has to say."""
        if self.connection.detached:
            if self._running is not None and not isinstance(event, RawData):
                # The app is done with its request; Hypercorn still waits for bytes, or for a pipelined request.
                self._running.cancel()
            return
        if isinstance(event, RawData):
            await self._send(event.data)
        elif isinstance(event, Updated):
            self._turn(idle=event.idle)
            await super().protocol_send(event)
        else:
            self._idle.set()
            if self._http is not None and self._http.leaves_unread and not self.connection.closing:
                self._linger()
            else:
                await super().protocol_send(event)

    def _turn(self, *, idle: bool) -> None:
        """Note that a request begins, or that one was answered."""
        if idle:
            self._begun = False
            self._idle.set()
            self._deadline.cancel()
            self.door.renew(self)
        else:
            self._idle.clear()
            if not self.connection.feeds:
                self._deadline.set(self.door.limits.request_timeout, self._late)

    async def _send(self, data: bytes) -> None:
        if self.connection.closing:
            # Whoever sends is told that the peer left, and gets the time to hear it.
            await self.protocol.handle(Closed())
            await asyncio.sleep(0)
            return
        self.connection.written += len(data)
        async with self.send_lock:
            try:
                self.writer.write(data)
                await self._drain()
            except (OSError, RuntimeError):  # a peer that is out of reach is no ConnectionError
                await self.protocol.handle(Closed())

    async def _drain(self) -> None:
        """Wait for room, as long as there is progress. Raises TimeoutError, an OSError."""
        connection = self.connection
        if not connection.buffered:
            await self.writer.drain()
            return
        while True:
            before = connection.outstanding
            try:
                async with asyncio.timeout(self.door.limits.write_timeout):
                    await self.writer.drain()
            except TimeoutError:
                if connection.outstanding >= before:
                    connection.abort()
                    raise
            else:
                return

    async def _read_data(self) -> None:
        while data := await self._read():
            self.connection.heard()
            if self._lingers:
                await self._drop()
                break
            if not self._begun:
                self._begun = True
                if self.waits:
                    self._deadline.set(self.door.limits.request_timeout, self._late)
            await self.protocol.handle(RawData(data))
        if self._http is not None and self._http.awaits_answer and not self.connection.closing:
            # It sends no more, and may still read: that is legal (RFC 9112, 9.6).
            await self._idle.wait()
        await self.protocol.handle(Closed())
        # It would keep the connection of a client that left open for as long as one that may come back.
        await self.idle_task.stop()

    async def _read(self) -> bytes:
        try:
            return await self.reader.read(MAX_RECV)
        except (OSError, SSLError):
            return b""

    def _late(self) -> None:
        """End a connection whose client does not come to the end of its request."""
        http = self._http
        if http is None or not http.awaits_request or self.connection.feeds:
            return
        if self._begun:
            self._keep(self.loop.create_task(http.refuse(_LATE)))
        else:
            self.connection.close()

    def _keep(self, task: asyncio.Task[Any]) -> None:
        """Note a task that may go on when all others have ended."""
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _linger(self) -> None:
        """Send no more, and drop what still comes, for a while."""
        if not self.writer.can_write_eof():
            self.connection.close()
            return
        self._lingers = True
        with suppress(OSError):
            self.writer.write_eof()
        self._deadline.set(_LINGER_SECONDS, self.connection.abort)

    async def _drop(self) -> None:
        dropped = 0
        while dropped < _LINGER_BYTES and (data := await self._read()):
            dropped += len(data)

    async def _initiate_server_close(self) -> None:
        # Hypercorn shields it from its own end.
        if (task := asyncio.current_task()) is not None:
            self._keep(task)
        self._end_by(self.door.limits.write_timeout)
        await super()._initiate_server_close()

    async def _close(self) -> None:
        if self.connection.detached:
            return
        self._end_by(self.door.limits.write_timeout)
        with suppress(OSError):
            await super()._close()

    def _end_by(self, seconds: float) -> None:
        """Wait no longer than that for a peer to read the end of its answer."""
        if self.connection.buffered:
            self._deadline.set(seconds, self.connection.abort)
