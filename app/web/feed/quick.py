"""The common way into a feed: a plain request of somebody who shows no credential needs no framework.

Whatever would not be served here is left to the routes, which know every other case and what to answer.
"""

import time
from collections.abc import Mapping
from email.utils import formatdate
from functools import lru_cache
from typing import Final, Protocol
from urllib.parse import parse_qsl

from werkzeug.datastructures import MultiDict
from wsproto.utilities import generate_accept_token

from app.core.access.principal import ANONYMOUS
from app.core.errors import FluxoraError
from app.web.access.credentials import COOKIE
from app.web.feed.blocks import CONNECTED, SSE_CHUNKS
from app.web.feed.connection import ClientConnection
from app.web.feed.deflate import ANSWER, acceptable
from app.web.feed.handshake import EXTENSIONS, fault_of
from app.web.feed.query import FeedQuery, feed_query
from app.web.feed.registration import Client, Registration
from app.web.feed.sse import CONTENT_TYPE, HEADERS, LAST
from app.web.feed.sse_session import SseSession
from app.web.feed.websocket_session import WebSocketSession
from app.web.fields import Fields, SingleFields
from app.web.request_log import request_id_of
from app.web.services import Services
from app.web.transports import Transport

_TRANSPORTS: Final = {"/ws/streams": Transport.WEBSOCKET, "/sse/streams": Transport.SSE}
_PATHS: Final = frozenset(path.encode() for path in _TRANSPORTS)
_ANYBODY: Final = ANONYMOUS.opened()
_CREDENTIALS: Final = ("Authorization", "X-API-Key", "Sec-WebSocket-Protocol")


class PlainRequest(Protocol):
    """A GET that leaves no question open. `fields`: its headers, names in small letters."""

    @property
    def path(self) -> str:
        """Its path."""

    @property
    def query(self) -> str:
        """What is behind the question mark."""

    @property
    def fields(self) -> Mapping[str, str]:
        """Its headers."""


class QuickFeeds:
    """Opens the feeds that are asked for plainly."""

    def __init__(self, running: Services) -> None:
        """Keep to the rules of a running service."""
        self._running = running
        self._closed = running.gate.signed_in or running.settings.access_log or bool(running.settings.root_path)

    @property
    def paths(self) -> frozenset[bytes]:
        """The feeds' addresses."""
        return _PATHS

    def take(self, request: PlainRequest, connection: ClientConnection, peer: str | None) -> bool:
        """Serve a request, and take its connection; False: it was not touched."""
        transport, headers = _TRANSPORTS[request.path], SingleFields(request.fields)
        client = self._admitted(transport, request.query, headers, peer)
        if client is None:
            return False
        registration = Registration(self._running, client, connection)
        try:
            if transport is Transport.SSE:
                self._open_sse(registration, client, connection, headers)
            else:
                self._open_websocket(registration, client, connection, headers)
        except BaseException:
            registration.close()
            raise
        return True

    def _admitted(self, transport: Transport, text: str, headers: Fields, peer: str | None) -> Client | None:
        """Return a client that every rule lets in."""
        running = self._running
        if self._closed or running.draining or not self._plain(transport, headers):
            return None
        address = running.guard.addresses.of(headers, peer)
        try:
            query = _asked(text, can_subscribe=transport is Transport.WEBSOCKET).continued(headers)
        except (FluxoraError, ValueError):
            return None
        if query.ticket is not None or not running.guard.has_room(address):
            return None
        return Client(running.guard.admit(transport, address), query, _ANYBODY, request_id_of(headers))

    def _plain(self, transport: Transport, headers: Fields) -> bool:
        host = headers.get("Host", "")
        if any(name in headers for name in _CREDENTIALS) or COOKIE in headers.get("Cookie", ""):
            return False
        running = self._running
        if not (running.hosts.admit(host) and running.origins.admit(headers.get("Origin"), host)):
            return False
        if transport is Transport.SSE:
            return "Upgrade" not in headers and headers.get("Connection", "keep-alive").lower() == "keep-alive"
        return headers.get("Upgrade", "").lower() == "websocket" and fault_of(headers, "1.1") is None

    def _open_sse(
        self, registration: Registration, client: Client, connection: ClientConnection, headers: Fields
    ) -> None:
        fields = {**HEADERS, **LAST, "Content-Type": CONTENT_TYPE}
        origins = self._running.origins
        if not origins.any:
            fields["Vary"] = "Origin"
        fields |= origins.shown_to(headers.get("Origin"))
        fields |= {"X-Content-Type-Options": "nosniff", "X-Request-ID": client.request_id}
        head = _head(200, fields) + b"Transfer-Encoding: chunked\r\n\r\n"
        connection.write(head + SSE_CHUNKS.framed(CONNECTED))
        SseSession(registration, connection, SSE_CHUNKS, self._running.settings, greeting=client.query.greeting)

    def _open_websocket(
        self, registration: Registration, client: Client, connection: ClientConnection, headers: Fields
    ) -> None:
        accepted = generate_accept_token(headers.get("Sec-WebSocket-Key", "").encode()).decode()
        fields = {"Sec-WebSocket-Accept": accepted, "Upgrade": "WebSocket", "Connection": "Upgrade"}
        deflated = acceptable(headers.getlist(EXTENSIONS))
        if deflated:
            fields[EXTENSIONS] = ANSWER
        connection.write(_head(101, fields) + b"\r\n")
        greeting = client.query.greeting
        WebSocketSession(registration, connection, self._running.settings, deflated=deflated, greeting=greeting)


@lru_cache(maxsize=1024)  # nearly all ask for the same: to read it again was a tenth of a connect
def _asked(text: str, *, can_subscribe: bool) -> FeedQuery:
    """Return what a query string asks for. Raises FluxoraError or ValueError."""
    given = parse_qsl(text, keep_blank_values=True, errors="werkzeug.url_quote")
    return feed_query(MultiDict(given), SingleFields({}), can_subscribe=can_subscribe)


def _head(status: int, fields: Mapping[str, str]) -> bytes:
    """Return a status line and headers, in the form in which h11 writes them."""
    lines = "".join([f"{name.lower()}: {value}\r\n" for name, value in fields.items()])
    return f"HTTP/1.1 {status} \r\n{lines}date: {_date(int(time.time()))}\r\n".encode()


@lru_cache(maxsize=1)
def _date(now: int) -> str:
    return formatdate(now, usegmt=True)
