"""What a feed says beside the events of the log. Such messages are outside the log and outside filters."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from app.core.clock import timestamp, utc_now
from app.core.cursor import Cursor
from app.core.encoding import encode
from app.core.filter import Wanted


@dataclass(frozen=True, slots=True)
class ServiceMessage:
    """A message of the service itself: its name, its JSON, and the cursor it moves the client to, if it does."""

    event: str
    data: bytes
    cursor: Cursor | None = None


@dataclass(frozen=True, slots=True)
class Close:
    """The feed ends. `code` is a WebSocket close code (RFC 6455, 7.4); `retry` is when to come back, in ms."""

    code: int
    reason: str
    retry: int | None = None


def _message(event: str, **fields: Any) -> ServiceMessage:
    return ServiceMessage(event, encode({"event": event, **fields}))


def _at(place: Cursor | None, event: str, /, **fields: Any) -> ServiceMessage:
    return replace(_message(event, **fields), cursor=place)


def _text(cursor: Cursor | None) -> str | None:
    # A client whose cursor could not be read has none until the reset that follows.
    return None if cursor is None else str(cursor)


def _shown(wanted: Wanted | None) -> dict[str, Any]:
    return {"filter": None} if wanted is None else wanted.to_json()


def _time(seconds: float | None) -> str | None:
    return None if seconds is None else timestamp(datetime.fromtimestamp(seconds, UTC))


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
    return _at(cursor, "feed.reset", reason=reason, cursor=str(cursor), timestamp=_now())


def opened(wanted: Wanted | None, cursor: Cursor | None) -> ServiceMessage:
    """Say first what the feed is: events after `cursor` that the filter wants; `None`: none yet."""
    return _at(cursor, "feed.opened", cursor=_text(cursor), **_shown(wanted), timestamp=_now())


def position(cursor: Cursor) -> ServiceMessage:
    """Say how far the client is, whose filter skipped what led there."""
    return _at(cursor, "feed.position", cursor=_text(cursor))


def closing(reason: str, cursor: Cursor | None) -> ServiceMessage:
    """Say that the feed ends, and where the client is."""
    return _at(cursor, "feed.closing", reason=reason, cursor=_text(cursor), timestamp=_now())


def subscribed(wanted: Wanted | None, cursor: Cursor | None) -> ServiceMessage:
    """Say that events after `cursor` are chosen by this filter; `None`: by none, the feed is paused."""
    return _message("subscribed", **_shown(wanted), cursor=_text(cursor))


def pong(cursor: Cursor | None) -> ServiceMessage:
    """Answer a client's `ping`."""
    return _message("pong", cursor=_text(cursor), timestamp=_now())


def authorized(expires_at: float | None) -> ServiceMessage:
    """Say that a renewal holds from the next event on, and until when; None: for good."""
    return _message("authorized", expiresAt=_time(expires_at))


def expiring(expires_at: float) -> ServiceMessage:
    """Say that the credential is over soon."""
    return _message("token.expiring", expiresAt=_time(expires_at))


def expired(cursor: Cursor | None) -> ServiceMessage:
    """Say that the feed ends because the credential is over: renew it, and come back with `cursor`."""
    return _at(cursor, "session.expired", cursor=_text(cursor), timestamp=_now())


def error(code: str, message: str) -> ServiceMessage:
    """Say that a control message was not understood, and that nothing changed."""
    return _message("error", code=code, message=message)
