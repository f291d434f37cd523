"""A feed over a WebSocket of ASGI: messages instead of frames, and neither pings nor bytes."""

import asyncio
from collections.abc import Sequence
from typing import Any, Final

from app.core.event import Event
from app.core.messages import Close, ServiceMessage
from app.web.feed.asgi_outlet import AsgiOutlet
from app.web.feed.control import Control
from app.web.feed.registration import Registration
from app.web.feed.session import FeedSession
from app.web.services import WebSettings


class TextMessages:
    """Events as messages, a line each: JSON on one line has no other end of line."""

    name = "text"

    def join(self, events: Sequence[Event]) -> bytes:
        """Return a line for each."""
        return b"".join([event.data + b"\n" for event in events])


TEXT_MESSAGES: Final = TextMessages()


class AsgiWebSocketSession(FeedSession):
    """Events as messages; `farewell` is how the handler is to close once all is sent."""

    __slots__ = ("_control", "_greeting", "_heartbeat", "_told_at", "farewell")

    def __init__(
        self, registration: Registration, outlet: AsgiOutlet, settings: WebSettings, *, greeting: bool
    ) -> None:
        """`greeting`: the client hears where it is."""
        self._control = Control(registration.subscription, settings, registration.renew)
        self._greeting = greeting
        self._heartbeat = settings.heartbeat_interval
        self._told_at = outlet.last_read
        self.farewell: Close | None = None
        registration.watched.beat = self._beat
        super().__init__(registration, outlet, TEXT_MESSAGES)

    def message(self, message: Any) -> None:
        """Take a message of the client."""
        self._guarded(self._heed, message)

    def _heed(self, message: Any) -> None:
        if not self._ended and (close := self._control.take(message, asyncio.get_running_loop().time())):
            self._end(close)

    def _beat(self, now: float) -> None:
        if now - self._told_at >= self._heartbeat and self._greeting and not self._ended and not self.full:
            self._told_at = now
            if moved := self._registration.subscription.moved():
                self.say(moved)

    def _take(self, data: bytes) -> None:
        """Nothing comes as bytes."""

    def say(self, message: ServiceMessage) -> None:
        """Write a message."""
        self.write(message.data + b"\n")

    def _say_goodbye(self, close: Close) -> None:
        self.farewell = close
        self._connection.close()
