"""HTTP/1.1, and nothing else: Hypercorn would change to HTTP/2 at a client's wish (decision 13)."""

from dataclasses import replace
from http import HTTPStatus
from typing import Any, Final, cast

import h11
from hypercorn.events import Closed, RawData
from hypercorn.protocol.events import Event as StreamEvent
from hypercorn.protocol.events import Request, Response
from hypercorn.protocol.h11 import STREAM_ID, H11Protocol, H11WSConnection
from hypercorn.protocol.http_stream import HTTPStream
from hypercorn.protocol.ws_stream import WSStream

from app.server.connection import Connection
from app.server.refusal import Answer, Refusal
from app.server.requests import checked, opens_websocket

_PREFACE: Final = (b"PRI", b"*", b"2.0")
"""How HTTP/2 begins (RFC 9113, 3.4), read as a request."""

_PREFACE_REFUSAL: Final = b"This service speaks HTTP/1.1. HTTP/2 ends at the proxy in front of it.\n"

_EARLY_BYTES: Final = 64 * 1024
"""What is kept of a WebSocket client that does not wait for the 101."""

_UNFINISHED: Final = (h11.IDLE, h11.SEND_BODY)


class Http1(H11Protocol):
    """Hypercorn's HTTP/1.1, which knows nothing of HTTP/2, and reads requests as the RFCs do."""

    @property
    def own(self) -> Connection:
        """The connection it is spoken on."""
        found: Connection = self.connection_state["connection"]
        return found

    @property
    def awaits_request(self) -> bool:
        """Whether a request is still to come, or the rest of one."""
        return self.connection.their_state in _UNFINISHED

    @property
    def awaits_answer(self) -> bool:
        """Whether a whole plain request is being answered."""
        return isinstance(self.stream, HTTPStream) and not self.awaits_request and not self.own.feeds

    @property
    def leaves_unread(self) -> bool:
        """Whether the client may still be sending something that nobody reads."""
        unread = isinstance(self.connection, H11WSConnection) or bool(self.connection.trailing_data[0])
        return unread or self._wished or self.awaits_request or self.connection.their_state is h11.ERROR

    _wished = False

    async def handle(self, event: Any) -> None:
        """Take bytes, or the end of them."""
        kept = self.connection
        await super().handle(event)
        if isinstance(kept, KeptBytes) and len(kept.buffer) > _EARLY_BYTES:
            self.own.abort()

    async def refuse(self, refusal: Refusal) -> None:
        """Answer by ourselves, if nothing was answered yet, and end the connection."""
        await self._answer(refusal.answer)

    async def _answer(self, answer: Answer) -> None:
        if self.connection.our_state in {h11.IDLE, h11.SEND_RESPONSE}:
            headers = [*answer.headers, *self.config.response_headers("h11")]
            await self._send_h11_event(h11.Response(status_code=answer.status, headers=headers))
            await self._send_h11_event(h11.Data(data=answer.body))
            await self._send_h11_event(h11.EndOfMessage())
        await self.send(Closed())

    async def stream_send(self, event: StreamEvent) -> None:
        """Send what the app has to say."""
        if isinstance(event, Response) and event.status_code >= HTTPStatus.OK:
            if isinstance(self.stream, WSStream):
                # The client may have sent frames, which are no request.
                event = replace(event, headers=[*event.headers, (b"connection", b"close")])
            elif (b"content-type", b"text/event-stream") in [(name, value[:17]) for name, value in event.headers]:
                self.own.begin_feed()
        await super().stream_send(event)

    async def _send_error_response(self, status_code: int) -> None:
        """Say why h11 does not read on."""
        status = HTTPStatus(status_code)
        await self.refuse(Refusal(status, _FAULTS.get(status, _FAULTS[HTTPStatus.BAD_REQUEST])))

    async def _check_protocol(self, event: h11.Request) -> None:
        """Refuse HTTP/2's preface. `Upgrade: h2c` is a wish that RFC 9110 (7.8) lets us ignore."""
        if (event.method, event.target, event.http_version) != _PREFACE:
            return
        head = (
            b"HTTP/1.1 505 HTTP Version Not Supported\r\nConnection: close\r\n"
            b"Content-Type: text/plain; charset=utf-8\r\nContent-Length: %d\r\n\r\n"
        )
        await self.send(RawData(data=head % len(_PREFACE_REFUSAL) + _PREFACE_REFUSAL))
        await self.send(Closed())
        raise PrefaceRefused

    async def _create_stream(self, request: h11.Request) -> None:
        """Serve a request. Raises Refusal."""
        request = checked(request)
        if request.target == b"*":
            await self._answer(Answer(HTTPStatus.OK, [(b"content-length", b"0"), (b"connection", b"close")], b""))
            return
        kind: type[HTTPStream | WSStream] = HTTPStream
        self._wished = any(name == b"upgrade" for name, _ in request.headers)
        if opens_websocket(request):
            kind = WSStream
            self.connection = self.own.early = KeptBytes(cast("h11.Connection", self.connection))
        self.stream = kind(
            self.app,
            self.config,
            self.context,
            self.task_group,
            self.ssl,
            self.client,
            self.server,
            self.stream_send,
            STREAM_ID,
        )
        await self.stream.handle(
            Request(
                stream_id=STREAM_ID,
                headers=list(request.headers),
                http_version=request.http_version.decode(),
                method=request.method.decode("ascii").upper(),
                raw_path=request.target,
                state=self.connection_state,
            )
        )
        self.keep_alive_requests += 1
        await self.context.mark_request()

    async def _handle_events(self) -> None:
        try:
            await super()._handle_events()
        except Refusal as refusal:
            await self.refuse(refusal)
        except PrefaceRefused:
            return


class KeptBytes(H11WSConnection):
    """What a WebSocket client sends before the app takes its connection: kept, and shown to nobody."""

    def next_event(self) -> Any:
        """Tell Hypercorn that nothing came; it would answer 400, or take it from the feed."""
        return h11.NEED_DATA


class PrefaceRefused(Exception):
    """A client began with HTTP/2, was told, and its connection is closed."""


_FAULTS: Final = {
    HTTPStatus.BAD_REQUEST: "This is no HTTP/1.1 request: a line, a header or the body's framing is malformed.",
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE: "The request's head is too large.",
    HTTPStatus.NOT_IMPLEMENTED: "The only transfer coding that is served is chunked.",
}
