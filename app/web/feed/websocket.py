"""`/ws/streams`: the feed over WebSocket."""

import asyncio
from contextlib import suppress
from http import HTTPStatus
from typing import Any

from quart import Blueprint, Response, request, websocket
from quart_schema import hide

from app.core.access.grant import Scope
from app.core.errors import FluxoraError
from app.web.access.credentials import subprotocol_of
from app.web.access.feed_access import admit, refuse_secrets
from app.web.access.policy import marked, public
from app.web.admission import Refused
from app.web.feed.asgi_outlet import AsgiOutlet
from app.web.feed.asgi_websocket import AsgiWebSocketSession
from app.web.feed.connection import ClientConnection
from app.web.feed.deflate import ANSWER, acceptable
from app.web.feed.handshake import EXTENSIONS, fault_of
from app.web.feed.query import feed_query
from app.web.feed.registration import Client, Registration
from app.web.feed.session import own_connection
from app.web.feed.websocket_session import WebSocketSession
from app.web.problems import problem, respond
from app.web.services import Services, services
from app.web.transports import Transport

blueprint = Blueprint("websocket", __name__)


@blueprint.websocket("/ws/streams")
@marked(Scope.STREAMS_READ)
async def feed() -> Any:
    """Send every event the client wants; take its control messages."""
    running = services()
    if fault := fault_of(websocket.headers, websocket.scope["http_version"]):
        return fault.response
    try:
        refuse_secrets(websocket)
        query = feed_query(websocket.args, websocket.headers)
        if running.draining:
            running.guard.refuse_all()
        client = await admit(running, Transport.WEBSOCKET, websocket, query)
    except FluxoraError as error:
        return respond(error)
    except Refused as refused:
        return refused.response
    connection = own_connection(websocket.scope)
    if connection is None:
        await _plain(running, client)
    else:
        await _straight(running, client, connection)
    return None


@blueprint.get("/ws/streams")
@public
@hide
async def no_handshake() -> Response:
    """Say what a request lacks: the server hands it over as a plain one."""
    fault = fault_of(request.headers, request.http_version)
    if fault is None:  # another server's judgement
        return problem(HTTPStatus.BAD_REQUEST, "bad-handshake", "the handshake was not understood")
    return fault.response


async def _straight(running: Services, client: Client, connection: ClientConnection) -> None:
    registration = Registration(running, client, connection)
    deflated = acceptable(websocket.headers.getlist(EXTENSIONS))
    try:
        await websocket.accept(
            headers={EXTENSIONS: ANSWER} if deflated else None, subprotocol=subprotocol_of(websocket)
        )
    except BaseException:
        registration.close()
        raise
    WebSocketSession(registration, connection, running.settings, deflated=deflated, greeting=client.query.greeting)


async def _plain(running: Services, client: Client) -> None:
    outlet = AsgiOutlet()
    registration = Registration(running, client, outlet)
    try:
        await websocket.accept(subprotocol=subprotocol_of(websocket))
        session = AsgiWebSocketSession(registration, outlet, running.settings, greeting=client.query.greeting)
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
