"""`/sse/streams`: the feed as Server-Sent Events."""

from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from typing import Any

from quart import Blueprint, Response, request

from app.core.events import EventFilter
from app.core.feed import jittered
from app.core.messages import Close, Delivery, Events, Idle, ServiceMessage
from app.web import wire
from app.web.connections import FeedConnection, open_feed
from app.web.guard import Admission, Refused
from app.web.outlet import outlet_of
from app.web.query import feed_query
from app.web.services import Services, services

blueprint = Blueprint("sse", __name__)

_HEADERS = {"Cache-Control": "no-cache, no-transform", "X-Accel-Buffering": "no"}


@blueprint.get("/sse/streams")
async def feed() -> Response:
    """Stream every event the client wants."""
    running = services()
    wanted, cursor = feed_query(request.args, request.headers)
    if running.draining:
        # An EventSource that comes back too early would give up for good on a 503.
        early = wire.sse_retry(jittered(running.settings.retry_ms))
        return Response(early, content_type="text/event-stream", headers=_HEADERS)
    try:
        admission = running.guard.admit("sse", request)
    except Refused as refused:
        return refused.response
    if request.method == "HEAD":
        return Response(b"", content_type="text/event-stream", headers=_HEADERS)
    body = _body(running, admission, request.scope, wanted, cursor)
    response = Response(body, content_type="text/event-stream", headers=_HEADERS)
    response.timeout = None
    return response


async def _body(
    running: Services, admission: Admission, scope: Mapping[str, Any], wanted: EventFilter, cursor: str | None
) -> AsyncIterator[bytes]:
    settings = running.settings
    with open_feed(running, admission, scope, wanted, cursor) as connection:
        # A cursor that may not be servable is not confirmed; what comes next says where the client is.
        position = None if cursor else str(connection.subscription.position)
        yield wire.sse_opening(settings.retry_ms, position)
        if outlet := outlet_of(scope, wire.SSE_CHUNKS):
            connection.subscription.attach(outlet)
        with suppress(ConnectionError):
            async for block in _blocks(connection, settings.keepalive_interval):
                yield block


async def _blocks(connection: FeedConnection, keepalive: float) -> AsyncIterator[bytes]:
    """Yield what to send; events only where the connection has no outlet."""
    while True:
        delivery: Delivery = await connection.subscription.next(keepalive)
        if isinstance(delivery, Events):
            yield b"".join(map(wire.sse_event, delivery.events))
        elif isinstance(delivery, ServiceMessage):
            yield wire.sse_message(delivery)
        elif isinstance(delivery, Idle):
            yield wire.sse_position(str(delivery.cursor)) if delivery.moved else wire.KEEPALIVE
        elif isinstance(delivery, Close):
            connection.reason = delivery.reason
            if delivery.retry is not None:
                yield wire.sse_retry(delivery.retry)
            return
