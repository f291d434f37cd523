"""Hypercorn's WebSocket, where the connection is not handed to the app: on HTTP/2, which shares it."""

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, cast

from hypercorn.protocol.events import Event, Request, StreamClosed
from hypercorn.protocol.ws_stream import WSStream
from wsproto.events import CloseConnection, Message, Ping, TextMessage

if TYPE_CHECKING:
    from app.server.connection import Connection

_FRAMES_PER_SECOND: Final = 200
"""A client's messages are limited far below, but those that keep the limit may come in pieces, and with pings."""

_PACE_SECONDS: Final = 0.05


class WebSocketStream(WSStream):
    """Hypercorn's WebSocket, which can ping, measures messages in bytes, and leaves closing to the app.

    The ASGI `state` of its request has it under `pinger`.
    """

    def __init__(self, *args: Any) -> None:
        """Take what Hypercorn gives."""
        super().__init__(*args)
        self._size = 0
        self._too_big = False
        self._frames = 0
        self._second = 0.0

    async def handle(self, event: Event) -> None:
        """Take an event of the protocol."""
        if isinstance(event, Request):
            event = replace(event, state=cast("Any", {**event.state, "pinger": self}))
        await super().handle(event)

    async def app_send(self, message: Any) -> None:
        """Take a message of the app; None: it has ended."""
        if message is None and self.app_put is not None:
            # The app has ended and takes no more messages: who waits for room, or would, must not wait for ever.
            queue: asyncio.Queue[Any] = self.app_put.__self__  # type: ignore[attr-defined]
            self.app_put = _drop
            while not queue.empty():
                queue.get_nowait()
        await super().app_send(message)

    def ping(self) -> None:
        """Send a ping."""
        self.task_group.spawn(self._send_wsproto_event, Ping())

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
