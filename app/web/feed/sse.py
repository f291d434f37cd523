"""`/sse/streams`: the feed as Server-Sent Events."""

from collections.abc import AsyncIterator
from typing import Any, Final

from quart import Blueprint, Response, request

from app.core import messages
from app.core.access.grant import Scope
from app.core.cursor import Cursor
from app.core.subscriptions import RESTART, jittered
from app.web.access.feed_access import admit, refuse_secrets
from app.web.access.policy import marked
from app.web.admission import Refused
from app.web.feed.asgi_outlet import AsgiOutlet
from app.web.feed.blocks import CONNECTED, SSE_BLOCKS, SSE_CHUNKS, sse_message, sse_retry
from app.web.feed.connection import ClientConnection
from app.web.feed.query import FeedQuery, feed_query
from app.web.feed.registration import Client, Registration
from app.web.feed.session import own_connection
from app.web.feed.sse_session import SseSession
from app.web.services import Services, services
from app.web.transports import Transport

blueprint = Blueprint("sse", __name__)

CONTENT_TYPE: Final = "text/event-stream"
HEADERS: Final = {"Cache-Control": "no-cache, no-transform", "X-Accel-Buffering": "no"}
LAST: Final = {"Connection": "close"}
"""A connection that is taken from the server serves no further request."""


@blueprint.get("/sse/streams")
@marked(Scope.STREAMS_READ)
async def feed() -> Response:
    """Stream every event the client wants."""
    running = services()
    refuse_secrets(request)
    query = feed_query(request.args, request.headers, can_subscribe=False)
    if running.draining:
        return _response(_told_to_come_back(running, query), **LAST)
    try:
        client = await admit(running, Transport.SSE, request, query)
    except Refused as refused:
        return refused.response
    if request.method == "HEAD":
        client.admission.release()
        return _response(b"")
    connection = own_connection(request.scope)
    body = _straight(running, client, connection) if connection else _plain(running, client)
    response = _response(body, **(LAST if connection else {}))
    response.timeout = None
    return response


def _response(body: Any, **headers: str) -> Response:
    return Response(body, content_type=CONTENT_TYPE, headers=HEADERS | headers)


def _told_to_come_back(running: Services, query: FeedQuery) -> bytes:
    """Return a feed that ends at once: at any status but 200, EventSource would give up for good."""
    cursor: Cursor | None = running.hub.cursor
    if query.cursor is not None:
        try:
            cursor = Cursor.parse(query.cursor)
        except ValueError:
            cursor = None
    retry = sse_retry(jittered(running.settings.retry_ms))
    return retry + sse_message(messages.closing(RESTART, cursor))


async def _straight(running: Services, client: Client, connection: ClientConnection) -> AsyncIterator[bytes]:
    """Have the server begin the response; the rest goes straight to the connection."""
    registration = Registration(running, client, connection)
    try:
        yield CONNECTED
    except BaseException:
        registration.close()
        raise
    SseSession(registration, connection, SSE_CHUNKS, running.settings, greeting=client.query.greeting)


async def _plain(running: Services, client: Client) -> AsyncIterator[bytes]:
    outlet = AsgiOutlet()
    outlet.write(CONNECTED)
    registration = Registration(running, client, outlet)
    SseSession(registration, outlet, SSE_BLOCKS, running.settings, greeting=client.query.greeting)
    try:
        async for data in outlet.drain():
            yield data
    finally:
        outlet.ended()
