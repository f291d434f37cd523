"""What a WebSocket client sends: bytes in, actions out, at a bearable pace. The time is handed in."""

from collections.abc import Iterator
from typing import Any, Final

from wsproto.connection import Connection, ConnectionState, ConnectionType
from wsproto.events import CloseConnection, Message, Ping, TextMessage
from wsproto.frame_protocol import CloseReason

from app.core.messages import Close
from app.web.feed.control import Control
from app.web.feed.deflate import Inflate
from app.web.feed.frame_scanner import FrameScanner

FRAMES_PER_SECOND: Final = 200
"""A client's messages are limited far below, but those that keep the limit may come in pieces, and with pings."""


class Incoming:
    """A client's side of a WebSocket. `paused_for` is how long to leave the rest in the kernel, in seconds."""

    __slots__ = (
        "_broken",
        "_control",
        "_frames",
        "_protocol",
        "_scanner",
        "_second",
        "_size",
        "_text",
        "max_bytes",
        "paused_for",
    )

    def __init__(self, control: Control, max_bytes: int, *, deflated: bool = False) -> None:
        """`max_bytes`: of a message, in UTF-8; `deflated`: whether the client may compress."""
        self._protocol = Connection(ConnectionType.SERVER, [Inflate(max_bytes)] if deflated else [])
        self._scanner = FrameScanner()
        self._control = control
        self._broken = False
        self._text = ""
        self._size = 0
        self._frames = 0
        self._second = 0.0
        self.max_bytes = max_bytes
        self.paused_for = 0.0

    @property
    def answered(self) -> bool:
        """Whether the client has sent a close frame, taken or not."""
        return self._scanner.closed or self._protocol.state in (ConnectionState.CLOSED, ConnectionState.REMOTE_CLOSING)

    def feed(self, data: bytes) -> None:
        """Take bytes. Those that follow a breach of the protocol mean nothing."""
        self._scanner.feed(data)
        if not self._broken:
            self._protocol.receive_data(data)

    def drop(self, data: bytes) -> None:
        """Take bytes behind our close frame: nothing counts any more but the client's own."""
        self._scanner.feed(data)

    def close_frame(self, code: int, reason: str | None) -> bytes:
        """Return a close frame: ours, or the answer to the client's."""
        return self._protocol.send(CloseConnection(code, reason))

    def actions(self, now: float) -> Iterator[bytes | Close | CloseConnection]:
        """Act on what came. Yields pongs to send; a Close when the client broke a limit; its close frame, the last.

        Ends early when there were too many frames this second; call it again after `paused_for` seconds.
        """
        self.paused_for = 0.0
        for event in () if self._broken else self._protocol.events():
            if isinstance(event, CloseConnection):
                self._broken = self._protocol.state is not ConnectionState.REMOTE_CLOSING
                inflated = self._broken and event.code == CloseReason.MESSAGE_TOO_BIG
                yield self._control.too_big() if inflated else event
                return
            if self._protocol.state is ConnectionState.OPEN:
                if isinstance(event, Ping):
                    yield self._protocol.send(event.response())
                elif isinstance(event, Message) and (close := self._take(event, now)):
                    yield close
            if getattr(event, "frame_finished", True) and self._crowded(now):
                return

    def _crowded(self, now: float) -> bool:
        """Count a frame. Pings and pieces of messages are no messages, so nothing else bounds them."""
        if now - self._second >= 1:
            self._second, self._frames = now, 0
        self._frames += 1
        if self._frames >= FRAMES_PER_SECOND:
            self.paused_for = self._second + 1 - now
        return self.paused_for > 0

    def _take(self, event: Message[Any], now: float) -> Close | None:
        """Add a piece to the client's message; the limit counts as soon as it is passed."""
        text = isinstance(event, TextMessage)
        self._size += len(event.data.encode()) if text else len(event.data)
        if self._size > self.max_bytes:
            return self._control.too_big()
        if text:
            self._text += event.data
        if not event.message_finished:
            return None
        message, self._text, self._size = self._text if text else None, "", 0
        return self._control.take(message, now)
