"""WebSocket frames (RFC 6455), as the feed writes them."""

from collections.abc import Sequence
from typing import Final

from app.core.event import Event
from app.web.feed.deflate import deflate

PING: Final = b"\x89\x00"
"""A WebSocket ping without payload (RFC 6455, 5.5.2)."""

_TEXT: Final = 0x81
_DEFLATED_TEXT: Final = 0xC1
"""With the bit that RFC 7692 (6) gives a meaning."""


def text_frame(data: bytes, first: int = _TEXT) -> bytes:
    """Return a whole text message as one frame; `first` is the frame's first byte."""
    size = len(data)
    if size < 126:  # noqa: PLR2004 - RFC 6455: the length itself, or a sign that 2 or 8 bytes of it follow
        return b"%c%c%b" % (first, size, data)
    if size < 1 << 16:
        return b"%c\x7e%b%b" % (first, size.to_bytes(2, "big"), data)
    return b"%c\x7f%b%b" % (first, size.to_bytes(8, "big"), data)


class WebSocketFrames:
    """Events as WebSocket frames."""

    name = "websocket"

    def join(self, events: Sequence[Event]) -> bytes:
        """Return a frame for each (RFC 6455, 5.2: final, text, unmasked)."""
        return b"".join([event.form("websocket", _plain) for event in events])


class DeflatedFrames:
    """Events as frames for clients that negotiated permessage-deflate, compressed once for all of them."""

    name = "deflated"

    def join(self, events: Sequence[Event]) -> bytes:
        """Return a frame for each."""
        return b"".join([event.form("deflated", _deflated) for event in events])


WEBSOCKET_FRAMES: Final = WebSocketFrames()
DEFLATED_FRAMES: Final = DeflatedFrames()


def _plain(event: Event) -> bytes:
    return text_frame(event.data)


def _deflated(event: Event) -> bytes:
    return text_frame(deflate(event.data), _DEFLATED_TEXT)
