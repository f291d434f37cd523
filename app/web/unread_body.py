"""Answers wait for the request's body."""

import asyncio
from typing import Any, Final

_UNREAD_SECONDS: Final = 3.0


class AnswerAfterBody:
    """ASGI middleware: an answer that did not need the request's body waits until the client has sent it.

    The server closes a connection with unread data; the client, still sending, would lose the answer (401, 413, 415)
    to a reset. One that does not come to an end is told that its connection is closed.
    """

    def __init__(self, app: Any, closing: asyncio.Event) -> None:
        """Wrap an app that goes on receiving while it answers. Once the service is `closing`, nothing waits."""
        self._app = app
        self._closing = closing

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        ended = asyncio.Event()
        closing = [(b"connection", b"close")] if scope["http_version"] in ("1.0", "1.1") else []

        async def receiving() -> Any:
            message = await receive()
            if not message.get("more_body", False):
                ended.set()
            return message

        async def sending(message: Any) -> None:
            if message["type"] == "http.response.start" and not await self._whole(ended):
                message = {**message, "headers": [*message["headers"], *closing]}
            await send(message)

        await self._app(scope, receiving, sending)

    async def _whole(self, ended: asyncio.Event) -> bool:
        """Wait for the body's end, but not for ever; tells whether it came."""
        if not ended.is_set():
            waits = [asyncio.create_task(event.wait()) for event in (ended, self._closing)]
            try:
                await asyncio.wait(waits, timeout=_UNREAD_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for wait in waits:
                    wait.cancel()
        return ended.is_set()
