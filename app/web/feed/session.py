"""One feed connection, from admission to its line in the log."""

import asyncio
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self
from uuid import uuid4

import structlog

from app.core.filter import EventFilter
from app.web.admission import Admission
from app.web.services import Services

_logger = structlog.get_logger(__name__)


class FeedConnection:
    """An admitted client's connection: subscribed, watched, and logged. `reason` is why it ended, as far as is known.

    Leaving it ends all that, unless it is `detached`: then `close` does.
    """

    __slots__ = ("_admission", "_begun", "_running", "_timer", "detached", "id", "reason", "subscription", "watched")

    def __init__(
        self, running: Services, admission: Admission, scope: Mapping[str, Any], wanted: EventFilter, cursor: str | None
    ) -> None:
        """Subscribe. `scope` is the request's."""
        state = scope.get("state") or {}
        self.id = uuid4().hex[:12]
        self.reason = "client left"
        self.detached = False
        self.subscription = running.feed.open(wanted, cursor)
        self.watched = running.liveness.watch(state.get("connection"), state.get("pinger"))
        self._running = running
        self._admission: Admission | None = admission
        self._begun = time.monotonic()
        self._timer: asyncio.TimerHandle | None = None
        self._log("connected", admission, resumed=cursor is not None, filter=wanted.to_json())

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it, if nobody else does."""
        if not self.detached:
            self.close()

    def close(self) -> None:
        """Give everything back."""
        admission, self._admission = self._admission, None
        if admission is None:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._running.feed.forget(self.subscription)
        verdict = None
        if self.watched is not None:
            self._running.liveness.forget(self.watched)
            verdict = self.watched.verdict
        admission.release()
        seconds = round(time.monotonic() - self._begun, 3)
        self._log("disconnected", admission, reason=verdict or self.reason, seconds=seconds)

    def abort_after_goodbye(self) -> None:
        """End the connection after `close_timeout`, if it is still open; the first call counts."""
        if self.watched is not None and self._timer is None:
            seconds = self._running.settings.close_timeout
            self._timer = asyncio.get_running_loop().call_later(seconds, self._abort)

    def _abort(self) -> None:
        if self.watched is not None:
            self.watched.end(self.reason)

    def _log(self, event: str, admission: Admission, **fields: Any) -> None:
        counts = self._running.guard.by_transport
        _logger.info(
            event,
            connection_id=self.id,
            transport=admission.transport,
            address=admission.address,
            **fields,
            websockets=counts["websocket"],
            sse=counts["sse"],
        )
