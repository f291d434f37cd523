"""`StreamFeed`: every committed change, once and in order, whatever happens to the connection."""

import asyncio
import inspect
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final, Literal

from app.client.errors import FeedReset, Passing
from app.client.request import FeedRequest, Filter, pairs_of
from app.client.transports import over_sse, over_websocket

Event = dict[str, Any]
Token = Callable[[], "str | Awaitable[str | None] | None"]
Transport = Literal["auto", "ws", "sse"]

_FIRST_SECONDS: Final = 0.5
_MOST_SECONDS: Final = 30.0
_STABLE_SECONDS: Final = 10.0
"""A connection that held so long was a good one: the next wait is short again."""

_WEBSOCKET_AGAIN_SECONDS: Final = 300.0
_SILENCE_SECONDS: Final = 45.0
"""Three keepalives of the service."""


@dataclass(slots=True)
class FeedStats:
    """What happened so far."""

    events: int = 0
    connects: int = 0
    resets: int = 0
    transport: str | None = None
    state: str = "new"
    reason: str = ""


class StreamFeed:
    """An async iterator of events.

    `cursor` is what to come back with; keep it where your data is. `checkpoint` is called with it when the loop asks
    for the next event, so after the one before was handled: whoever stores it then sees each event at least once.
    """

    def __init__(
        self,
        url: str,
        *,
        filter: Filter | None = None,  # noqa: A002 - the field's word
        get_token: Token | None = None,
        last_event_id: str | None = None,
        transport: Transport = "auto",
        checkpoint: Callable[[str], object] | None = None,
        on_reset: Callable[[Event], object] | None = None,
        on_message: Callable[[Event], object] | None = None,
        silence: float = _SILENCE_SECONDS,
    ) -> None:
        """Follow the service at `url`. Nothing is opened before the first iteration.

        `get_token` is asked before every dial. Without `on_reset`, a reset raises FeedReset: events are missing.
        `on_message` gets what is said beside events, as `service.degraded`. `silence` is in seconds.
        """
        self.cursor = last_event_id
        self.stats = FeedStats()
        self._url = url
        self._chosen = pairs_of(filter)
        self._get_token = get_token
        self._transport = transport
        self._checkpoint = checkpoint
        self._on_reset = on_reset
        self._on_message = on_message
        self._silence = silence
        self._no_websocket_until = float("-inf")
        self._failures = 0

    async def __aiter__(self) -> AsyncIterator[Event]:
        """Iterate for ever. Raises FeedRefused for what no retry mends, FeedReset."""
        while True:
            kind = self._kind()
            began = time.monotonic()
            try:
                async for event in self._connection(kind):
                    yield event
            except Passing as passing:
                await self._wait(passing, kind, time.monotonic() - began)

    async def _connection(self, kind: str) -> AsyncIterator[Event]:
        self._tell("connecting", "")
        request = FeedRequest(self._url, self._chosen, self.cursor, await self._token())
        source = over_websocket if kind == "ws" else over_sse
        stream = source(request, self._silence)
        try:
            async for message, cursor in stream:
                name = message.get("event", "")
                if name == "feed.opened":
                    self.stats.connects += 1
                    self.stats.transport = kind
                    self._tell("live", "")
                if name == "feed.reset":
                    self._reset(message, cursor)
                elif name.startswith("stream."):
                    yield message
                    # Only now was it handled; a crash before would see it again.
                    self._move(cursor)
                    self.stats.events += 1
                else:
                    self._move(cursor)
                    if self._on_message:
                        self._on_message(message)
        finally:
            await stream.aclose()  # type: ignore[attr-defined]

    def _move(self, cursor: str | None) -> None:
        if cursor and cursor != self.cursor:
            self.cursor = cursor
            if self._checkpoint:
                self._checkpoint(cursor)

    def _reset(self, message: Event, cursor: str | None) -> None:
        self.stats.resets += 1
        self._move(cursor)
        if self._on_reset is None:
            raise FeedReset(message)
        self._on_reset(message)

    async def _token(self) -> str | None:
        if self._get_token is None:
            return None
        given = self._get_token()
        return await given if inspect.isawaitable(given) else given

    def _kind(self) -> str:
        if self._transport != "auto":
            return self._transport
        return "sse" if time.monotonic() < self._no_websocket_until else "ws"

    async def _wait(self, passing: Passing, kind: str, lasted: float) -> None:
        """Wait before the next dial: full jitter, no earlier than the server asked for."""
        if not passing.dialled and kind == "ws" and self._transport == "auto":
            self._no_websocket_until = time.monotonic() + _WEBSOCKET_AGAIN_SECONDS
            self._tell("connecting", f"no WebSocket ({passing.reason}), so Server-Sent Events")
            return
        self._failures = 0 if lasted > _STABLE_SECONDS else self._failures + 1
        most = min(_MOST_SECONDS, _FIRST_SECONDS * 2**self._failures)
        seconds = (passing.retry or 0.0) + random.uniform(0, most)  # noqa: S311 - spreads reconnects, guards nothing
        self._tell("waiting", passing.reason)
        await asyncio.sleep(seconds)

    def _tell(self, state: str, reason: str) -> None:
        self.stats.state, self.stats.reason = state, reason
