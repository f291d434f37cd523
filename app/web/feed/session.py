"""One feed on one connection: the outlet of its subscription, and the receiver of its connection."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, Final

import structlog

from app.core.messages import Close, ServiceMessage
from app.core.outlet import Form
from app.web.feed.close_codes import INTERNAL_ERROR
from app.web.feed.connection import ClientConnection
from app.web.feed.registration import Registration

_logger = structlog.get_logger(__name__)
_FAILED: Final = Close(INTERNAL_ERROR, "internal error")


class FeedSession(ABC):
    """A feed that is written straight to its connection. One that is live costs no task.

    It has one only while it catches up, or has something to say. Whatever fails here ends this client alone.
    """

    __slots__ = ("_connection", "_ended", "_registration", "_task", "form")

    def __init__(self, registration: Registration, connection: ClientConnection, form: Form) -> None:
        """Take the connection away from the server, which has opened the feed on it."""
        self.form = form
        self._registration = registration
        self._connection = connection
        self._task: asyncio.Task[None] | None = None
        self._ended = False
        connection.detach(self)
        registration.subscription.attach(self)

    @property
    def full(self) -> bool:
        """Whether the connection wants no more now."""
        return self._connection.full

    def write(self, data: bytes) -> bool:
        """Hand bytes to the connection. False: it is full now."""
        return self._connection.write(data)

    @abstractmethod
    def say(self, message: ServiceMessage) -> None:
        """Write a message."""

    def wake(self) -> None:
        """Do what is to be done beside live events."""
        if self._task is None and not self._ended:
            self._task = asyncio.create_task(self._catch_up())

    def fail(self) -> None:
        """End the feed because something of ours is broken."""
        self._end(_FAILED)

    def received(self, data: bytes) -> None:
        """Take what the client sent."""
        self._guarded(self._take, data)

    def writable(self) -> None:
        """Go on where the connection was full."""
        self._registration.subscription.wake()

    def lost(self) -> None:
        """Give everything back."""
        self._ended = True
        if self._task is not None:
            self._task.cancel()
        self._registration.close()

    def _guarded(self, act: Callable[..., None], *arguments: Any) -> None:
        """Do something at the client's wish; a failure is its own."""
        try:
            act(*arguments)
        except Exception:
            _logger.exception("feed_failed", connection_id=self._registration.id)
            self.fail()

    async def _catch_up(self) -> None:
        try:
            while (said := await self._registration.subscription.catch_up()) is not None:
                if isinstance(said, Close):
                    self._end(said)
                    return
                self.say(said)
        except Exception:
            _logger.exception("feed_failed", connection_id=self._registration.id)
            self.fail()
        finally:
            self._task = None

    def _end(self, close: Close) -> None:
        """Say goodbye, once, however that goes."""
        if self._ended:
            return
        self._ended = True
        self._registration.end_soon(close)
        try:
            self._say_goodbye(close)
        except Exception:
            _logger.exception("goodbye_failed", connection_id=self._registration.id)
            self._connection.abort()

    @abstractmethod
    def _say_goodbye(self, close: Close) -> None:
        """Write the last words."""

    @abstractmethod
    def _take(self, data: bytes) -> None:
        """Take what the client sent."""


def own_connection(scope: Mapping[str, Any]) -> ClientConnection | None:
    """Return the connection of a request, to write to it.

    None under other servers, which do not show it, and on HTTP/1.0, which has no chunks.
    """
    connection: ClientConnection | None = (scope.get("state") or {}).get("connection")
    return connection if scope.get("http_version") == "1.1" else None
