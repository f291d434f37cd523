"""`/ws/streams`: the feed over WebSocket."""

import asyncio
from contextlib import suppress
from typing import Any, Final

from quart import Blueprint, websocket

from app.core.errors import FluxoraError
from app.web.admission import Admission, Refused
from app.web.feed.asgi_outlet import AsgiOutlet
from app.web.feed.asgi_websocket import AsgiWebSocketSession
from app.web.feed.connection import ClientConnection
from app.web.feed.deflate import ANSWER, acceptable
from app.web.feed.query import FeedQuery, feed_query
from app.web.feed.registration import Registration
from app.web.feed.session import own_connection
from app.web.feed.websocket_session import WebSocketSession
from app.web.problems import respond
from app.web.services import Services, services
from app.web.transports import Transport

blueprint = Blueprint("websocket", __name__)
_EXTENSIONS: Final = "Sec-WebSocket-Extensions"


@blueprint.websocket("/ws/streams")
async def feed() -> Any:
    """Send every event the client wants; take its control messages."""
    running = services()
    try:
        query = feed_query(websocket.args, websocket.headers)
        if running.draining:
            running.guard.refuse_all()
        admission = running.guard.admit(Transport.WEBSOCKET, websocket)
    except FluxoraError as error:
        return respond(error)
    except Refused as refused:
        return refused.response
    connection = own_connection(websocket.scope)
    if connection is None:
        await _plain(running, admission, query)
    else:
        await _straight(running, admission, connection, query)
    return None


async def _straight(running: Services, admission: Admission, connection: ClientConnection, query: FeedQuery) -> None:
    registration = Registration(running, admission, connection, query)
    deflated = acceptable(websocket.headers.getlist(_EXTENSIONS))
    try:
        await websocket.accept(headers={_EXTENSIONS: ANSWER} if deflated else None)
    except BaseException:
        registration.close()
        raise
    WebSocketSession(registration, connection, running.settings, deflated=deflated, greeting=query.greeting)


async def _plain(running: Services, admission: Admission, query: FeedQuery) -> None:
    outlet = AsgiOutlet()
    registration = Registration(running, admission, outlet, query)
    try:
        await websocket.accept()
        session = AsgiWebSocketSession(registration, outlet, running.settings, greeting=query.greeting)
        receiving = asyncio.create_task(_receive(session))
        try:
            await _send(outlet, session, running.settings.close_timeout)
        finally:
            receiving.cancel()
    finally:
        outlet.ended()
        registration.close()


async def _receive(session: AsgiWebSocketSession) -> None:
    """Read whatever the client sends, for ever: Quart queues without bound what nobody reads."""
    while True:
        session.message(await websocket.receive())


async def _send(outlet: AsgiOutlet, session: AsgiWebSocketSession, seconds: float) -> None:
    with suppress(ConnectionError):
        async for lines in outlet.drain():
            for line in lines.splitlines():
                await websocket.send(line.decode())
        if session.farewell is not None:
            await websocket.close(session.farewell.code, session.farewell.reason)
            # Closing a socket with unread data would reset it. Quart cancels this handler when the client is gone.
            await asyncio.sleep(seconds)
