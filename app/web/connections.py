"""One feed connection, from admission to its line in the log."""

import asyncio
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import structlog

from app.core.events import EventFilter
from app.core.subscription import Subscription
from app.web.guard import Admission
from app.web.liveness import Watched
from app.web.services import Services

_logger = structlog.get_logger(__name__)


class FeedConnection:
    """A client's connection. `reason` is why it ended, as far as it is known here."""

    def __init__(self, subscription: Subscription, watched: Watched | None) -> None:
        """`watched` is None under a server that does not show its connections."""
        self.id = uuid4().hex[:12]
        self.subscription = subscription
        self.reason = "client left"
        self._watched = watched
        self._timer: asyncio.TimerHandle | None = None

    @property
    def ended_because(self) -> str:
        """Why it ended."""
        return (self._watched and self._watched.verdict) or self.reason

    def abort_after(self, seconds: float) -> None:
        """End the connection then, if it is still open; the first call counts."""
        if self._watched is not None and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(seconds, self._watched.end, self.reason)

    def forget(self) -> None:
        """Take back `abort_after`: it is over."""
        if self._timer is not None:
            self._timer.cancel()


@contextmanager
def open_feed(
    running: Services, admission: Admission, scope: Mapping[str, Any], wanted: EventFilter, cursor: str | None
) -> Iterator[FeedConnection]:
    """Subscribe an admitted client, watch its connection, and log its coming and going."""
    transport = "websocket" if scope["type"] == "websocket" else "sse"
    state = scope.get("state") or {}
    begun = time.monotonic()
    try:
        with (
            running.feed.subscribe(wanted, cursor) as subscription,
            running.liveness.watch(state.get("connection"), state.get("pinger")) as watched,
        ):
            connection = FeedConnection(subscription, watched)
            log = _logger.bind(connection_id=connection.id, transport=transport, address=admission.address)
            log.info("connected", resumed=cursor is not None, filter=wanted.to_json(), **_counts(running))
            try:
                yield connection
            finally:
                connection.forget()
    finally:
        admission.release()
        seconds = round(time.monotonic() - begun, 3)
        log.info("disconnected", reason=connection.ended_because, seconds=seconds, **_counts(running))


def _counts(running: Services) -> dict[str, int]:
    by_transport = running.guard.by_transport
    return {"websockets": by_transport["websocket"], "sse": by_transport["sse"]}
