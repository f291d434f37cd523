"""`/ws/streams`: the feed over WebSocket."""

import asyncio
from collections import deque
from contextlib import suppress
from typing import Any, Final

import structlog
from quart import Blueprint, websocket

from app.core import messages
from app.core.errors import FluxoraError, InvalidInput
from app.core.messages import Close, Delivery, Events, Idle, ServiceMessage
from app.core.subscription import Subscription
from app.web import wire
from app.web.connections import FeedConnection, open_feed
from app.web.guard import Refused
from app.web.outlet import outlet_of
from app.web.problems import respond
from app.web.query import feed_query
from app.web.services import Services, services

blueprint = Blueprint("websocket", __name__)
_logger = structlog.get_logger(__name__)
_ENDING: Final = Close(wire.INTERNAL_ERROR, "internal error")
_GONE: Final = Close(wire.GOING_AWAY, "client left")


@blueprint.websocket("/ws/streams")
async def feed() -> Any:
    """Send every event the client wants; take its control messages."""
    running = services()
    try:
        wanted, cursor = feed_query(websocket.args, websocket.headers)
        admission = running.guard.admit("websocket", websocket)
    except FluxoraError as error:
        return respond(error)
    except Refused as refused:
        return refused.response
    with open_feed(running, admission, websocket.scope, wanted, cursor) as connection:
        await websocket.accept()
        if outlet := outlet_of(websocket.scope, wire.WEBSOCKET_FRAMES):
            connection.subscription.attach(outlet)
        close = await _serve(running, connection)
        connection.reason = close.reason
        await _say_goodbye(close, connection, running.settings.close_timeout)
    return None


async def _serve(running: Services, connection: FeedConnection) -> Close:
    """Send and receive until either side ends it."""
    receiving = asyncio.create_task(_receive(running, connection))
    try:
        while True:
            delivery = await connection.subscription.next()
            if isinstance(delivery, Close):
                return delivery
            await _send(delivery)
    except ConnectionError:
        return _GONE
    except Exception:
        # Quart would close with 1000, as if all were well.
        _logger.exception("feed_failed", connection_id=connection.id)
        return _ENDING
    finally:
        receiving.cancel()


async def _send(delivery: Delivery) -> None:
    if isinstance(delivery, Events):
        for event in delivery.events:
            await websocket.send(event.data.decode())
    elif isinstance(delivery, ServiceMessage):
        await websocket.send(delivery.data.decode())
    else:
        assert isinstance(delivery, Idle)


async def _receive(running: Services, connection: FeedConnection) -> None:
    """Read whatever the client sends, for ever: Quart queues without bound what nobody reads."""
    settings, loop = running.settings, asyncio.get_running_loop()
    recent: deque[float] = deque(maxlen=settings.message_rate_limit)
    close: Close | None = None
    while True:
        message = await websocket.receive()
        if close is not None:
            continue
        now = loop.time()
        crowded = len(recent) == recent.maxlen and now - recent[0] < settings.message_rate_window
        recent.append(now)
        close = _violation(message, settings.max_message_bytes, crowded=crowded)
        if close is None:
            _control(connection.subscription, message)
        else:
            connection.reason = close.reason
            connection.subscription.close(close)
            # A client that does not read either would not let the close frame through.
            connection.abort_after(settings.close_timeout)


def _violation(message: Any, max_bytes: int, *, crowded: bool) -> Close | None:
    if not isinstance(message, str):  # an empty binary message comes as None
        return Close(wire.UNSUPPORTED_DATA, "binary messages are not accepted")
    if len(message.encode()) > max_bytes:
        return Close(wire.MESSAGE_TOO_BIG, f"message over {max_bytes} bytes")
    if crowded:
        return Close(wire.POLICY_VIOLATION, "too many messages")
    return None


def _control(subscription: Subscription, text: Any) -> None:
    try:
        message = wire.parse_control(text)
        kind = message["type"]
        if kind == "subscribe":
            subscription.subscribe(wire.control_filter(message), wire.control_cursor(message))
        elif kind == "unsubscribe":
            subscription.unsubscribe()
        elif kind == "ping":
            subscription.say(messages.pong())
        else:
            subscription.say(messages.error("unknown-type", "type: must be subscribe, unsubscribe or ping"))
    except InvalidInput as error:
        subscription.say(messages.error("invalid-message", str(error)))


async def _say_goodbye(close: Close, connection: FeedConnection, seconds: float) -> None:
    """Close, and read on until the client has answered; Quart cancels this handler when it is gone.

    Closing a socket with unread data would reset it, and the client would not see why.
    """
    connection.abort_after(seconds)
    await websocket.close(close.code, close.reason)
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while True:
                await websocket.receive()
