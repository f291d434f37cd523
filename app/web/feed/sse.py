"""`/sse/streams`: the feed as Server-Sent Events."""

from collections.abc import AsyncIterator
from typing import Any, Final

from quart import Blueprint, Response, request

from app.core.messages import Close, Delivery, Events, Idle, ServiceMessage
from app.core.subscriptions import jittered
from app.web.admission import Admission, Refused
from app.web.feed.blocks import (
    KEEPALIVE,
    LAST_CHUNK,
    SSE_CHUNKS,
    chunk,
    sse_event,
    sse_message,
    sse_opening,
    sse_position,
    sse_retry,
)
from app.web.feed.direct import DirectFeed, direct_wire
from app.web.feed.liveness import Wire
from app.web.feed.query import FeedQuery, feed_query
from app.web.feed.session import FeedConnection
from app.web.services import Services, services

blueprint = Blueprint("sse", __name__)

_HEADERS: Final = {"Cache-Control": "no-cache, no-transform", "X-Accel-Buffering": "no"}
_LAST: Final = {"Connection": "close"}
"""A connection that is taken from the server serves no further request."""


@blueprint.get("/sse/streams")
async def feed() -> Response:
    """Stream every event the client wants."""
    running = services()
    query = feed_query(request.args, request.headers)
    if running.draining:
        # An EventSource that comes back too early would give up for good on a 503.
        return _response(sse_retry(jittered(running.settings.retry_ms)))
    try:
        admission = running.guard.admit("sse", request)
    except Refused as refused:
        return refused.response
    if request.method == "HEAD":
        return _response(b"")
    socket = direct_wire(request.scope)
    response = _response(_body(running, admission, request.scope, query, socket), **(_LAST if socket else {}))
    response.timeout = None
    return response


def _response(body: Any, **headers: str) -> Response:
    return Response(body, content_type="text/event-stream", headers=_HEADERS | headers)


async def _body(
    running: Services, admission: Admission, scope: Any, query: FeedQuery, socket: Wire | None
) -> AsyncIterator[bytes]:
    settings = running.settings
    with FeedConnection(running, admission, scope, *query) as connection:
        # A cursor that may not be servable is not confirmed; what comes next says where the client is.
        position = None if query.cursor else str(connection.subscription.position)
        yield sse_opening(settings.retry_ms, position)
        if socket is not None:
            DirectSse(connection, socket, settings.keepalive_interval)
            return
        async for block in _blocks(connection, settings.keepalive_interval):
            yield block


async def _blocks(connection: FeedConnection, keepalive: float) -> AsyncIterator[bytes]:
    while True:
        delivery: Delivery = await connection.subscription.next(keepalive)
        if isinstance(delivery, Events):
            yield b"".join(map(sse_event, delivery.events))
        elif isinstance(delivery, ServiceMessage):
            yield sse_message(delivery)
        elif isinstance(delivery, Idle):
            yield _keepalive(delivery)
        elif isinstance(delivery, Close):
            connection.reason = delivery.reason
            if delivery.retry is not None:
                yield sse_retry(delivery.retry)
            return


class DirectSse(DirectFeed):
    """Server-Sent Events, in chunks of an HTTP/1.1 response."""

    __slots__ = ("_alive_at", "_keepalive")

    def __init__(self, connection: FeedConnection, socket: Wire, keepalive: float) -> None:
        """`keepalive`: seconds without data after which the client gets a sign of life."""
        self._keepalive = keepalive
        self._alive_at = socket.last_read
        if connection.watched is not None:
            connection.watched.beat = self._beat
        super().__init__(connection, socket, SSE_CHUNKS)

    def received(self, data: bytes) -> None:
        """Drop what a client sends behind its request."""

    def _beat(self, now: float) -> None:
        subscription = self._connection.subscription
        if now - max(self._alive_at, subscription.active_at) >= self._keepalive and not self._ended and not self.full:
            self._alive_at = now
            self.write(chunk(_keepalive(subscription.idle())))

    def _encoded(self, message: ServiceMessage) -> bytes:
        return chunk(sse_message(message))

    def _say_goodbye(self, close: Close) -> None:
        if close.retry is not None:
            self.write(chunk(sse_retry(close.retry)))
        self.write(LAST_CHUNK)
        self._wire.close()


def _keepalive(idle: Idle) -> bytes:
    return sse_position(str(idle.cursor)) if idle.moved else KEEPALIVE
