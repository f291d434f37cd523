"""A feed over WebSocket, on a connection of its own or over ASGI."""

import asyncio
from typing import Final

from wsproto.events import CloseConnection

from app.core.messages import Close, ServiceMessage
from app.web.feed.connection import ClientConnection
from app.web.feed.control import Control
from app.web.feed.frames import DEFLATED_FRAMES, PING, WEBSOCKET_FRAMES, text_frame
from app.web.feed.incoming import Incoming
from app.web.feed.registration import Registration
from app.web.feed.session import FeedSession
from app.web.services import WebSettings

_PONG: Final = 0x8A
_MASK_BYTES: Final = 6
_LONGEST_CONTROL: Final = 125

_DROPPED_BYTES: Final = 16 * 1024 * 1024
"""What a client may have on its way when we close; it is dropped. Closing the socket on it would reset the connection,
and the client would not see why (RFC 6455, 7.1.1 and 7.1.7)."""


class WebSocketSession(FeedSession):
    """Events as frames; what the client says is parsed only if it says something."""

    __slots__ = ("_deflated", "_dropped", "_greeting", "_incoming", "_settings", "_timer")

    def __init__(
        self,
        registration: Registration,
        connection: ClientConnection,
        settings: WebSettings,
        *,
        deflated: bool,
        greeting: bool,
    ) -> None:
        """Take the connection over after the handshake.

        `deflated`: compression was negotiated. `greeting`: the client hears where it is.
        """
        self._deflated = deflated
        self._dropped = 0
        self._greeting = greeting
        self._settings = settings
        self._incoming: Incoming | None = None
        self._timer: asyncio.TimerHandle | None = None
        registration.watched.pinger = self
        super().__init__(registration, connection, DEFLATED_FRAMES if deflated else WEBSOCKET_FRAMES)

    def ping(self) -> None:
        """Send a ping; tell a client whose filter skips events where it is."""
        self.write(PING)
        if self._greeting and not self._ended and (moved := self._registration.subscription.moved()):
            self.say(moved)

    def lost(self) -> None:
        """Give everything back."""
        self._stop_timer()
        super().lost()

    @property
    def _client(self) -> Incoming:
        if self._incoming is None:
            control = Control(self._registration.subscription, self._settings, self._registration.renew)
            self._incoming = Incoming(control, self._settings.max_message_bytes, deflated=self._deflated)
        return self._incoming

    def _take(self, data: bytes) -> None:
        if self._ended:
            self._drop(data)
            return
        if self._incoming is None and _is_pong(data):
            return
        self._client.feed(data)
        if self._timer is None:
            self._act()

    def _act(self) -> None:
        """Act on what the client said; when that is too much at once, on the rest later."""
        self._timer = None
        client, loop = self._client, asyncio.get_running_loop()
        for action in client.actions(loop.time()):
            if isinstance(action, CloseConnection):
                self._part(action)
            elif isinstance(action, Close):
                self._end(action)
            elif not self.full:
                self.write(action)
            if self._ended:
                return
        if client.paused_for:
            self._connection.pause_reading()
            self._timer = loop.call_later(client.paused_for, self._resume)

    def _resume(self) -> None:
        self._guarded(self._act)
        if self._timer is None:
            self._connection.resume_reading()

    def _stop_timer(self) -> bool:
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()
        return timer is not None

    def _part(self, close: CloseConnection) -> None:
        """Answer the client's close frame, or what wsproto makes of bytes that break the protocol (1002, 1007)."""
        self._ended = True
        self._registration.end_soon(Close(close.code, self._registration.reason))
        answered = self._client.answered
        self.write(self._client.close_frame(close.code, close.reason))
        if answered:
            self._connection.close()
        else:
            self._connection.finish()

    def _drop(self, data: bytes) -> None:
        """Leave unread what comes after our close frame, up to the client's."""
        self._client.drop(data)
        self._dropped += len(data)
        if self._client.answered:
            self._connection.close()
        elif self._dropped > _DROPPED_BYTES:
            self._connection.finish()
            self._connection.pause_reading()

    def say(self, message: ServiceMessage) -> None:
        """Write a message."""
        self.write(text_frame(message.data))

    def _say_goodbye(self, close: Close) -> None:
        self.write(self._client.close_frame(close.code, close.reason))
        self._connection.finished = True
        if self._stop_timer():
            self._connection.resume_reading()
        if self._client.answered:
            self._connection.close()


def _is_pong(data: bytes) -> bool:
    """Tell whether a client that says nothing else answers a ping: most never need a parser."""
    return (
        len(data) >= _MASK_BYTES
        and data[0] == _PONG
        and len(data) == _MASK_BYTES + (data[1] & 0x7F) <= _MASK_BYTES + _LONGEST_CONTROL
        and data[1] & 0x80 != 0
    )
