"""An admitted client of the feed, from admission to its line in the log."""

import asyncio
import time
from typing import Any
from uuid import uuid4

import structlog

from app.core.messages import Close
from app.web.admission import Admission
from app.web.feed.connection import ClientConnection
from app.web.feed.query import FeedQuery
from app.web.services import Services

_logger = structlog.get_logger(__name__)


class Registration:
    """What a client holds here: its place, its subscription, its watch, and its lines in the log.

    `reason` is why it ended, as far as is known. Whoever registers it calls `close`.
    """

    __slots__ = (
        "_admission",
        "_begun",
        "_request_id",
        "_running",
        "_timer",
        "id",
        "reason",
        "subscription",
        "watched",
    )

    def __init__(self, running: Services, admission: Admission, connection: ClientConnection, query: FeedQuery) -> None:
        """Subscribe, and watch the connection."""
        self.id = uuid4().hex[:12]
        self.reason = "client left"
        self.subscription = running.feed.open(query.wanted, query.cursor, greeting=query.greeting, live=query.live)
        self.watched = running.liveness.watch(connection)
        self._running = running
        self._admission: Admission | None = admission
        self._begun = time.monotonic()
        self._timer: asyncio.TimerHandle | None = None
        self._request_id = structlog.contextvars.get_contextvars().get("request_id")
        self._log("connected", admission, resumed=query.cursor is not None, **query.wanted.to_json())

    def close(self) -> None:
        """Give everything back; the first call counts."""
        admission, self._admission = self._admission, None
        if admission is None:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._running.feed.forget(self.subscription)
        self._running.liveness.forget(self.watched)
        admission.release()
        seconds = round(time.monotonic() - self._begun, 3)
        self._log("disconnected", admission, reason=self.watched.verdict or self.reason, seconds=seconds)

    def end_soon(self, close: Close) -> None:
        """End the connection after `close_timeout`, if it is still open; the first call counts."""
        self.reason = close.reason
        if self._timer is None:
            seconds = self._running.settings.close_timeout
            self._timer = asyncio.get_running_loop().call_later(seconds, self.watched.end, self.reason)

    def _log(self, event: str, admission: Admission, **fields: Any) -> None:
        counts = self._running.guard.by_transport
        _logger.info(
            event,
            connection_id=self.id,
            request_id=self._request_id,
            transport=admission.transport,
            address=admission.address,
            **fields,
            websockets=counts["websocket"],
            sse=counts["sse"],
        )
