"""Server-Sent Events: blocks, and chunks of an HTTP/1.1 body.

No block is without data, comments aside: libraries in four languages ignore such a block, or hand it out as an empty
message. `id:` is the last line of a block, so that a client that takes a cut block for a whole one does not take the id
of an event that it has only in part.
"""

from collections.abc import Sequence
from typing import Final

from app.core.event import Event
from app.core.messages import ServiceMessage

CONNECTED: Final = b": connected\n"
"""Has the response begin; it stands in the first block."""

KEEPALIVE: Final = b": keepalive\n\n"


class SseBlocks:
    """Events as blocks. `last` ends them."""

    name = "sse"
    last = b""

    def join(self, events: Sequence[Event]) -> bytes:
        """Return a block for each."""
        return self.framed(b"".join([event.form("sse", _event_block) for event in events]))

    def framed(self, data: bytes) -> bytes:
        """Return bytes as the connection has them: as they are."""
        return data


class SseChunks(SseBlocks):
    """Events as blocks, in chunks of an HTTP/1.1 body (RFC 9112, 7.1)."""

    name = "sse-chunks"
    last = b"0\r\n\r\n"

    def framed(self, data: bytes) -> bytes:
        """Return bytes as one chunk."""
        return b"%x\r\n%b\r\n" % (len(data), data)


SSE_BLOCKS: Final = SseBlocks()
SSE_CHUNKS: Final = SseChunks()


def sse_message(message: ServiceMessage) -> bytes:
    """Return a service message's block; only one that moves the client has an id."""
    position = b"" if message.cursor is None else f"id: {message.cursor}\n".encode()
    return b"event: %b\ndata: %b\n%b\n" % (message.event.encode(), message.data, position)


def sse_retry(milliseconds: int) -> bytes:
    """Return the line that tells EventSource when to come back; it belongs to the block that follows."""
    return b"retry: %d\n" % milliseconds


def _event_block(event: Event) -> bytes:
    return b"event: %b\ndata: %b\nid: %b\n\n" % (event.name.encode(), event.data, event.id.encode())
