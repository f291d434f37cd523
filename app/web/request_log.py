"""A line in the log for each request that somebody may have to find again."""

import re
import time
from http import HTTPStatus
from secrets import token_hex
from typing import Final

import structlog
from quart import Quart, Response, g, request, websocket
from quart.wrappers.base import BaseRequestWebsocket

from app.web.client_address import peer_of
from app.web.fields import Fields
from app.web.services import Services

_REQUEST_ID: Final = re.compile(r"[0-9A-Za-z_.-]{1,128}")
_FEEDS: Final = ("/sse/streams", "/ws/streams")
_READING: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_SHOWN_OF_KEY: Final = len("sha256:") + 12
"""Of a key's hash: enough to tell keys apart, and nothing that could be tried."""

_logger = structlog.get_logger(__name__)


class RequestLog:
    """Names every request and WebSocket, and logs writes, failures, and everything where `ACCESS_LOG` says so."""

    def __init__(self, running: Services) -> None:
        """Log for this service."""
        self._addresses = running.guard.addresses
        self._refusals = running.refusals
        self._times = running.traffic.requests
        self._all = running.settings.access_log

    def register(self, app: Quart) -> None:
        """Begin with every request of this app."""
        app.before_request(self._begin)
        app.before_websocket(self._begin_websocket)

    def end(self, response: Response) -> None:
        """Log a request that is answered."""
        if request_id := g.get("request_id"):
            response.headers["X-Request-ID"] = request_id
        rule = request.url_rule
        if rule is None or rule.rule not in _FEEDS:
            # A path that no route has would be a label of its own for each guess.
            labels = request.method if rule else "", rule.rule if rule else "none", str(response.status_code)
            seconds = time.monotonic() - g.get("begun", time.monotonic())
            self._times.labels(*labels).observe(seconds)
        hidden = self._refusals.hides(response.status_code)
        failed = response.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR
        if not (self._all or failed or (request.method not in _READING and not hidden)):
            return
        _logger.info(
            "request",
            method=request.method,
            path=request.path,
            status=response.status_code,
            ms=round((time.monotonic() - g.get("begun", time.monotonic())) * 1000, 1),
            address=g.get("address"),
            key=(g.get("key_id") or "")[:_SHOWN_OF_KEY] or None,
        )

    async def _begin(self) -> None:
        self._name(request)

    async def _begin_websocket(self) -> None:
        self._name(websocket)

    def _name(self, client: BaseRequestWebsocket) -> None:
        g.request_id = request_id_of(client.headers)
        g.begun = time.monotonic()
        g.address = self._addresses.of(client.headers, peer_of(client.scope))
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=g.request_id)


def request_id_of(headers: Fields) -> str:
    """Return what a request is called: as its client says, if that is a name, or else a new one."""
    given = headers.get("X-Request-ID", "")
    return given if _REQUEST_ID.fullmatch(given) else token_hex(16)
