"""The two ways to the feed: each yields messages, and says how it ended."""

import json
from collections.abc import AsyncIterator
from itertools import pairwise
from typing import Any, Final

import httpx
import httpx_sse
import websockets
from websockets.asyncio.client import connect

from app.client.errors import FeedRefused, Passing
from app.client.request import FeedRequest

_DIAL_SECONDS: Final = 10.0
_CLOSE_SECONDS: Final = 1.0
"""Who leaves in the middle has frames unread before the server's answer, and does not wait for it."""

_FINAL_CODES: Final = frozenset({1002, 1003, 1007, 1008, 1009, 4001})
_LATER: Final = frozenset({408, 425, 429})
"""Statuses of a client's mistake that time mends."""

_NO_UPGRADE: Final = frozenset({400, 404, 405, 426, 501, 502})
"""What proxies make of an upgrade that they do not know."""

_OUR_FAULT: Final = "urn:fluxora:problem:invalid-input"
Message = tuple[dict[str, Any], str | None]
"""A message, and the cursor that it moves its reader to, if it does."""


async def over_websocket(request: FeedRequest, silence: float) -> AsyncIterator[Message]:
    """Yield messages. Raises FeedRefused, Passing. `silence`: seconds without a sign after which it counts as dead."""
    try:
        connection = await connect(
            request.websocket_url,
            additional_headers=request.headers,
            open_timeout=_DIAL_SECONDS,
            ping_interval=silence / 2,
            ping_timeout=silence / 2,
            close_timeout=_CLOSE_SECONDS,
            max_size=None,
        )
    except websockets.InvalidStatus as error:
        response = error.response
        raise _refusal(response.status_code, response.headers, bytes(response.body or b""), upgrade=True) from None
    except (OSError, TimeoutError, websockets.WebSocketException) as error:
        raise Passing(_reason(error), dialled=False) from error
    try:
        async for text in connection:
            message = json.loads(text)
            yield message, message.get("id") or _moved(message)
    except websockets.ConnectionClosedError:
        pass
    finally:
        await connection.close()
    code, reason = connection.close_code or 1006, connection.close_reason or "the connection was lost"
    if code in _FINAL_CODES:
        raise FeedRefused(code, reason)
    raise Passing(f"{code}: {reason}", _retry_in(reason))


async def over_sse(request: FeedRequest, silence: float) -> AsyncIterator[Message]:
    """Yield messages. Raises FeedRefused, Passing."""
    retry: float | None = None
    timeout = httpx.Timeout(_DIAL_SECONDS, read=silence)
    opened = False
    try:
        async with (
            httpx.AsyncClient(timeout=timeout) as client,
            httpx_sse.aconnect_sse(client, "GET", request.sse_url, headers=request.headers) as source,
        ):
            response = source.response
            if response.status_code != httpx.codes.OK:
                raise _refusal(response.status_code, response.headers, await response.aread(), upgrade=False)
            opened = True
            async for event in source.aiter_sse():
                retry = event.retry / 1000 if event.retry is not None else retry
                if event.data:
                    message = json.loads(event.data)
                    yield message, event.id or _moved(message)
    except (httpx.HTTPError, httpx_sse.SSEError, OSError) as error:
        raise Passing(_reason(error), retry, dialled=opened) from error
    raise Passing("the feed ended", retry)


def _refusal(status: int, headers: Any, body: bytes, *, upgrade: bool) -> Exception:
    problem = _problem(body)
    detail = problem.get("detail") or f"HTTP {status}"
    retry = headers.get("Retry-After", "")
    if upgrade and status in _NO_UPGRADE and problem.get("type") != _OUR_FAULT:
        return Passing(detail, dialled=False)
    if 400 <= status < 500 and status not in _LATER:  # noqa: PLR2004 - RFC 9110, 15.5: the client's mistake
        return FeedRefused(status, detail)
    return Passing(detail, float(retry) if retry.isdigit() else None, dialled=False)


def _problem(body: bytes) -> dict[str, Any]:
    """Return a problem document (RFC 9457), or nothing of it."""
    try:
        document = json.loads(body)
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def _moved(message: dict[str, Any]) -> str | None:
    """Return where a message about the connection says that its reader is."""
    about = {"feed.opened", "feed.position", "feed.reset", "feed.closing", "session.expired", "subscribed", "pong"}
    return message.get("cursor") if message.get("event") in about else None


def _retry_in(reason: str) -> float | None:
    """Return when a close frame's reason asks to come back: `service restart; retry in 1234 ms`."""
    words = reason.split()
    found = next((before for before, word in pairwise(words) if word == "ms"), "")
    return int(found) / 1000 if found.isdigit() else None


def _reason(error: BaseException) -> str:
    return str(error) or type(error).__name__
