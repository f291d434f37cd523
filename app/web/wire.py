"""The feed's bytes: Server-Sent Events blocks, WebSocket close codes, and what clients may ask."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import orjson

from app.core.addresses import is_address
from app.core.errors import FieldError, InvalidInput
from app.core.events import Event, EventFilter, EventName
from app.core.messages import ServiceMessage
from app.web.deflate import deflate

GOING_AWAY: Final = 1001
POLICY_VIOLATION: Final = 1008
UNSUPPORTED_DATA: Final = 1003
MESSAGE_TOO_BIG: Final = 1009
INTERNAL_ERROR: Final = 1011

KEEPALIVE: Final = b": keepalive\n\n"
LAST_CHUNK: Final = b"0\r\n\r\n"
"""Ends an HTTP/1.1 body (RFC 9112, 7.1)."""

PING: Final = b"\x89\x00"
"""A WebSocket ping without payload (RFC 6455, 5.5.2)."""

_TEXT: Final = 0x81
_DEFLATED_TEXT: Final = 0xC1
"""With the bit that RFC 7692 (6) gives a meaning."""

FILTER_FIELDS: Final = ("streamId", "sender", "recipient", "event")
CURSOR_PARAMETERS: Final = ("lastEventId", "last_event_id", "lastEventID")
_ADDRESSES: Final = frozenset({"sender", "recipient"})


def sse_event(event: Event) -> bytes:
    """Return an event's block, encoded once."""
    block = event.forms.get("sse")
    if block is None:
        block = b"id: %b\nevent: %b\ndata: %b\n\n" % (event.id.encode(), event.name.encode(), event.data)
        event.forms["sse"] = block
    return block


def websocket_frame(event: Event) -> bytes:
    """Return an event's frame (RFC 6455, 5.2: final, text, unmasked), encoded once."""
    frame = event.forms.get("websocket")
    if frame is None:
        frame = event.forms["websocket"] = text_frame(event.data)
    return frame


def deflated_frame(event: Event) -> bytes:
    """Return an event's frame for clients that negotiated permessage-deflate, compressed once for all of them."""
    frame = event.forms.get("deflated")
    if frame is None:
        frame = event.forms["deflated"] = text_frame(deflate(event.data), _DEFLATED_TEXT)
    return frame


def text_frame(data: bytes, first: int = _TEXT) -> bytes:
    """Return a whole text message as one frame; `first` is the frame's first byte."""
    size = len(data)
    if size < 126:  # noqa: PLR2004 - RFC 6455: the length itself, or a sign that 2 or 8 bytes of it follow
        return b"%c%c%b" % (first, size, data)
    if size < 1 << 16:
        return b"%c\x7e%b%b" % (first, size.to_bytes(2, "big"), data)
    return b"%c\x7f%b%b" % (first, size.to_bytes(8, "big"), data)


def chunk(data: bytes) -> bytes:
    """Return bytes as a chunk of an HTTP/1.1 body (RFC 9112, 7.1)."""
    return b"%x\r\n%b\r\n" % (len(data), data)


class WebSocketFrames:
    """Events as WebSocket frames."""

    name = "websocket"

    def join(self, events: Sequence[Event]) -> bytes:
        """Return a frame for each."""
        return b"".join(map(websocket_frame, events))


class DeflatedFrames:
    """Events as compressed WebSocket frames."""

    name = "deflated"

    def join(self, events: Sequence[Event]) -> bytes:
        """Return a frame for each."""
        return b"".join(map(deflated_frame, events))


class SseChunks:
    """Events as blocks, in one chunk of an HTTP/1.1 body."""

    name = "sse"

    def join(self, events: Sequence[Event]) -> bytes:
        """Return a chunk with a block for each."""
        return chunk(b"".join(map(sse_event, events)))


WEBSOCKET_FRAMES: Final = WebSocketFrames()
DEFLATED_FRAMES: Final = DeflatedFrames()
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


def filter_of(fields: Mapping[str, Sequence[str]]) -> EventFilter:
    """Build a filter of the values given for each field; raises InvalidInput for what could never match."""
    wrong = [
        FieldError(field, problem)
        for field, values in fields.items()
        for value in values
        if (problem := _problem_with(field, value))
    ]
    if wrong:
        raise InvalidInput(*wrong)
    stream_ids, senders, recipients, events = (frozenset(fields.get(field, ())) for field in FILTER_FIELDS)
    return EventFilter(stream_ids, senders, recipients, events)


def parse_control(text: str) -> dict[str, Any]:
    """Read a client's control message; raises InvalidInput."""
    try:
        message = orjson.loads(text)
    except orjson.JSONDecodeError:
        raise InvalidInput(FieldError("message", "must be JSON")) from None
    if not isinstance(message, dict) or not isinstance(message.get("type"), str):
        raise InvalidInput(FieldError("type", "must be an object with a type: subscribe, unsubscribe or ping"))
    return message


def control_filter(message: Mapping[str, Any]) -> EventFilter:
    """Return the filter of a `subscribe` message: strings, or lists of strings."""
    given = message.get("filter", {})
    if not isinstance(given, dict):
        raise InvalidInput(FieldError("filter", "must be an object"))
    unknown = set(given) - set(FILTER_FIELDS)
    if unknown:
        raise InvalidInput(*unknown_fields(unknown, prefix="filter."))
    fields = {name: [value] if isinstance(value, str) else value for name, value in given.items()}
    for name, values in fields.items():
        if not isinstance(values, list) or not values or not all(isinstance(value, str) for value in values):
            raise InvalidInput(FieldError(f"filter.{name}", "must be a string or a list of strings, not empty"))
    return filter_of(fields)


def control_cursor(message: Mapping[str, Any]) -> str | None:
    """Return the cursor of a `subscribe` message."""
    cursor = message.get("lastEventId")
    if cursor is not None and not isinstance(cursor, str):
        raise InvalidInput(FieldError("lastEventId", "must be a string"))
    return cursor or None


def unknown_fields(names: Iterable[str], prefix: str = "") -> list[FieldError]:
    """Refuse names that mean nothing: a filter with a typo would let everything through."""
    known = ", ".join(FILTER_FIELDS)
    return [FieldError(f"{prefix}{name}", f"is not known here; filters are {known}") for name in sorted(names)]


def _problem_with(field: str, value: str) -> str | None:
    if field in _ADDRESSES and not is_address(value):
        return "must be a Stellar address (G... or C...) with a right checksum"
    if field == "event" and value not in set(EventName):
        return f"must be one of {', '.join(EventName)}"
    if not value:
        return "must not be empty"
    return None
