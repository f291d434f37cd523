"""`/ws/streams`: the feed over WebSocket."""

import asyncio
from contextlib import suppress
from typing import Any, Final

import structlog
from quart import Blueprint, websocket
from wsproto.events import CloseConnection

from app.core.errors import FluxoraError
from app.core.messages import Close, Delivery, Events, Idle, ServiceMessage
from app.web.admission import Refused
from app.web.feed.close_codes import GOING_AWAY
from app.web.feed.control import Control
from app.web.feed.deflate import ANSWER, acceptable
from app.web.feed.direct import ENDING, DirectFeed, direct_wire
from app.web.feed.frames import DEFLATED_FRAMES, PING, WEBSOCKET_FRAMES, text_frame
from app.web.feed.incoming import Incoming
from app.web.feed.liveness import Wire
from app.web.feed.query import feed_query
from app.web.feed.session import FeedConnection
from app.web.problems import respond
from app.web.services import Services, WebSettings, services

blueprint = Blueprint("websocket", __name__)
_logger = structlog.get_logger(__name__)
_GONE: Final = Close(GOING_AWAY, "client left")
_EXTENSIONS: Final = "Sec-WebSocket-Extensions"
_PONG: Final = 0x8A
_MASK_BYTES: Final = 6


@blueprint.websocket("/ws/streams")
async def feed() -> Any:
    """Send every event the client wants; take its control messages."""
    running = services()
    try:
        query = feed_query(websocket.args, websocket.headers)
        admission = running.guard.admit("websocket", websocket)
    except FluxoraError as error:
        return respond(error)
    except Refused as refused:
        return refused.response
    with FeedConnection(running, admission, websocket.scope, *query) as connection:
        if socket := direct_wire(websocket.scope):
            deflated = acceptable(websocket.headers.getlist(_EXTENSIONS))
            await websocket.accept(headers={_EXTENSIONS: ANSWER} if deflated else None)
            DirectWebSocket(connection, socket, running.settings, deflated=deflated)
            return None
        await websocket.accept()
        close = await _serve(running, connection)
        connection.reason = close.reason
        await _say_goodbye(close, connection, running.settings.close_timeout)
    return None


class DirectWebSocket(DirectFeed):
    """A WebSocket: events as frames; what the client says is parsed only if it says something."""

    __slots__ = ("_deflated", "_incoming", "_settings", "_timer")

    def __init__(self, connection: FeedConnection, socket: Wire, settings: WebSettings, *, deflated: bool) -> None:
        """Take the connection over after the handshake; `deflated` tells whether compression was negotiated."""
        self._deflated = deflated
        self._settings = settings
        self._incoming: Incoming | None = None
        self._timer: asyncio.TimerHandle | None = None
        if connection.watched is not None:
            connection.watched.pinger = self
        super().__init__(connection, socket, DEFLATED_FRAMES if deflated else WEBSOCKET_FRAMES)

    def ping(self) -> None:
        """Send a ping."""
        self.write(PING)

    def received(self, data: bytes) -> None:
        """Take what the client sent."""
        if self._incoming is None and _is_pong(data):
            return
        self._client.feed(data)
        if self._timer is None:
            self._act()

    def lost(self) -> None:
        """Give everything back."""
        if self._timer is not None:
            self._timer.cancel()
        super().lost()

    @property
    def _client(self) -> Incoming:
        if self._incoming is None:
            control = Control(self._connection.subscription, self._settings)
            self._incoming = Incoming(control, self._settings.max_message_bytes, deflated=self._deflated)
        return self._incoming

    def _act(self) -> None:
        """Act on what the client said; when that is too much at once, on the rest later."""
        self._timer = None
        client = self._client
        for action in client.actions():
            if isinstance(action, CloseConnection):
                self._part(action)
                return
            if isinstance(action, Close):
                self._end(action)
            elif not self.full:
                self.write(action)
        if client.paused_for:
            self._wire.pause_reading()
            self._timer = asyncio.get_running_loop().call_later(client.paused_for, self._resume)

    def _resume(self) -> None:
        self._act()
        if self._timer is None:
            self._wire.resume_reading()

    def _part(self, close: CloseConnection) -> None:
        """Answer the client's close frame, or what wsproto makes of bytes that break the protocol (1002, 1007)."""
        if not self._ended:
            self._ended = True
            self._connection.abort_after_goodbye()
            answered = self._client.answered
            self.write(self._client.close_frame(close.code, close.reason))
            if not answered:
                self._wire.finish()
                return
        if self._client.answered:
            self._wire.close()

    def _encoded(self, message: ServiceMessage) -> bytes:
        return text_frame(message.data)

    def _say_goodbye(self, close: Close) -> None:
        self.write(self._client.close_frame(close.code, close.reason))
        self._wire.finished = True


def _is_pong(data: bytes) -> bool:
    """Tell whether a client that says nothing else answers a ping: most never need a parser."""
    return data[0] == _PONG and len(data) == _MASK_BYTES + (data[1] & 0x7F) and data[1] & 0x80 != 0


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
        return ENDING
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
    control = Control(connection.subscription, running.settings)
    close: Close | None = None
    while True:
        message = await websocket.receive()
        if close is None and (close := control.take(message)):
            connection.reason = close.reason
            connection.subscription.close(close)
            # A client that does not read either would not let the close frame through.
            connection.abort_after_goodbye()


async def _say_goodbye(close: Close, connection: FeedConnection, seconds: float) -> None:
    """Close, and read on until the client has answered; Quart cancels this handler when it is gone.

    Closing a socket with unread data would reset it, and the client would not see why.
    """
    connection.abort_after_goodbye()
    await websocket.close(close.code, close.reason)
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while True:
                await websocket.receive()
