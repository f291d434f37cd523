"""A feed of Server-Sent Events."""

import asyncio
from typing import Final

from app.core import messages
from app.core.messages import Close, ServiceMessage
from app.core.subscriptions import jittered
from app.web.feed.blocks import KEEPALIVE, SseBlocks, sse_message, sse_retry
from app.web.feed.close_codes import EXPIRED
from app.web.feed.connection import ClientConnection
from app.web.feed.registration import Registration
from app.web.feed.session import FeedSession
from app.web.services import WebSettings

_PROBES: Final = (0.05, 0.5, 3.0)
"""Seconds after a client's half-close at which a reset should have come back, near or far."""


class SseSession(FeedSession):
    """Events, messages and keepalives as blocks; the first block with data says when to come back."""

    __slots__ = ("_alive_at", "_blocks", "_greeting", "_retry", "_settings", "_talks")

    def __init__(
        self,
        registration: Registration,
        connection: ClientConnection,
        blocks: SseBlocks,
        settings: WebSettings,
        *,
        greeting: bool,
    ) -> None:
        """`blocks`: how the connection has them; `greeting`: whether the client hears where it is."""
        self._settings = settings
        self._blocks = blocks
        self._greeting = greeting
        self._retry: int | None = settings.retry_ms
        self._alive_at = connection.last_read
        self._talks = False
        registration.watched.beat = self._beat
        super().__init__(registration, connection, blocks)

    def write(self, data: bytes) -> bool:
        """Hand events to the connection. False: it is full now."""
        if self._retry is not None:
            # A line of the block that follows: chunks may begin anywhere.
            self._connection.write(self._blocks.framed(self._retry_line()))
        return self._connection.write(data)

    def _beat(self, now: float) -> None:
        subscription = self._registration.subscription
        quiet = now - max(self._alive_at, subscription.active_at)
        if quiet < self._settings.keepalive_interval or self._ended or self.full:
            return
        self._alive_at = now
        moved = subscription.moved() if self._greeting else None
        if moved is not None:
            self.say(moved)
        else:
            self._connection.write(self._blocks.framed(KEEPALIVE))

    def left(self) -> bool:
        """Write to a client that sends no more: who is really gone answers with a reset, which the next write meets."""
        loop = asyncio.get_running_loop()
        self._probe()
        for seconds in _PROBES:
            loop.call_later(seconds, self._probe)
        return True

    def _probe(self) -> None:
        self._connection.write(self._blocks.framed(KEEPALIVE))

    def _take(self, data: bytes) -> None:
        """Drop what a client sends behind its request."""
        self._talks = self._talks or bool(data)

    def say(self, message: ServiceMessage) -> None:
        """Write a message."""
        self._connection.write(self._blocks.framed(self._retry_line() + sse_message(message)))

    def _retry_line(self) -> bytes:
        retry, self._retry = self._retry, None
        return b"" if retry is None else sse_retry(retry)

    def _say_goodbye(self, close: Close) -> None:
        self._retry = close.retry or jittered(self._settings.retry_ms)
        cursor = self._registration.subscription.cursor
        self.say(messages.expired(cursor) if close.code == EXPIRED else messages.closing(close.reason, cursor))
        self._connection.write(self._blocks.last)
        if self._talks:
            # What it sent may lie unread, and closing would reset the connection before it has all of this.
            self._connection.finish()
        else:
            self._connection.close()
