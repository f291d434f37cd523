"""Server-Sent Events: blocks, in chunks of an HTTP/1.1 body."""

from collections.abc import Sequence
from typing import Final

from app.core.event import Event
from app.core.messages import ServiceMessage

KEEPALIVE: Final = b": keepalive\n\n"

LAST_CHUNK: Final = b"0\r\n\r\n"
"""Ends an HTTP/1.1 body (RFC 9112, 7.1)."""


def sse_event(event: Event) -> bytes:
    """Return an event's block, encoded once."""
    block = event.forms.get("sse")
    if block is None:
        block = b"id: %b\nevent: %b\ndata: %b\n\n" % (event.id.encode(), event.name.encode(), event.data)
        event.forms["sse"] = block
    return block


def chunk(data: bytes) -> bytes:
    """Return bytes as a chunk of an HTTP/1.1 body (RFC 9112, 7.1)."""
    return b"%x\r\n%b\r\n" % (len(data), data)


class SseChunks:
    """Events as blocks, in one chunk of an HTTP/1.1 body."""

    name = "sse"

    def join(self, events: Sequence[Event]) -> bytes:
        """Return a chunk with a block for each."""
        return chunk(b"".join(map(sse_event, events)))


SSE_CHUNKS: Final = SseChunks()


def sse_message(message: ServiceMessage) -> bytes:
    """Return a service message's block; only one that moves the client has an id."""
    head = b"" if message.cursor is None else f"id: {message.cursor}\n".encode()
    return b"%bevent: %b\ndata: %b\n\n" % (head, message.event.encode(), message.data)


def sse_opening(retry_ms: int, cursor: str | None) -> bytes:
    """Return the first bytes of a feed; with the cursor, a client that loses it before any event resumes exactly."""
    position = f"id: {cursor}\n" if cursor else ""
    return f"retry: {retry_ms}\n: connected\n{position}\n".encode()


def sse_position(cursor: str) -> bytes:
    """Return a block that moves `Last-Event-ID` without firing an event."""
    return f"id: {cursor}\n\n".encode()


def sse_retry(retry_ms: int) -> bytes:
    """Return a block that tells EventSource when to come back."""
    return f"retry: {retry_ms}\n\n".encode()
