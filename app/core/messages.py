"""What a feed says beside the events of the log. Such messages are outside the log and outside filters."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import orjson

from app.core.clock import timestamp, utc_now
from app.core.cursor import Cursor
from app.core.event import Event
from app.core.filter import EventFilter


@dataclass(frozen=True, slots=True)
class ServiceMessage:
    """A message of the service itself: its name, its JSON, and the cursor it moves the client to, if it does."""

    event: str
    data: bytes
    cursor: Cursor | None = None


@dataclass(frozen=True, slots=True)
class Events:
    """Events to be sent, in the order of the log."""

    events: Sequence[Event]


@dataclass(frozen=True, slots=True)
class Idle:
    """Nothing came for a while. `moved`: the client does not know `cursor` yet, for what led to it was not wanted."""

    cursor: Cursor
    moved: bool


@dataclass(frozen=True, slots=True)
class Close:
    """The feed ends. `code` is a WebSocket close code (RFC 6455, 7.4); `retry` is when to come back, in ms."""

    code: int
    reason: str
    retry: int | None = None


Delivery = Events | ServiceMessage | Idle | Close


def _message(event: str, **fields: Any) -> ServiceMessage:
    return ServiceMessage(event, orjson.dumps({"event": event, **fields}))


def _now() -> str:
    return timestamp(utc_now())


def degraded(source: str, reason: str) -> ServiceMessage:
    """Say that something the feed depends on is out of order."""
    return _message("service.degraded", source=source, reason=reason, timestamp=_now())


def recovered(source: str, reason: str) -> ServiceMessage:
    """Say that it works again."""
    return _message("service.recovered", source=source, reason=reason, timestamp=_now())


def reset(reason: str, cursor: Cursor) -> ServiceMessage:
    """Say that the client's cursor cannot be served: load a snapshot; the feed goes on live from `cursor`."""
    message = _message("feed.reset", reason=reason, cursor=str(cursor), timestamp=_now())
    return replace(message, cursor=cursor)


def subscribed(wanted: EventFilter | None, cursor: Cursor) -> ServiceMessage:
    """Say that events after `cursor` are chosen by this filter; `None`: by none, the feed is paused."""
    shown = None if wanted is None else wanted.to_json()
    return _message("subscribed", filter=shown, cursor=str(cursor))


def pong() -> ServiceMessage:
    """Answer a client's `ping`."""
    return _message("pong", timestamp=_now())


def error(code: str, message: str) -> ServiceMessage:
    """Say that a control message was not understood, and that nothing changed."""
    return _message("error", code=code, message=message)
