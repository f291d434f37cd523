"""Feeds that are written straight to their sockets; one that is live costs no task."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, Final

import structlog

from app.core.messages import Close, ServiceMessage
from app.core.ports import Form
from app.web.feed.close_codes import INTERNAL_ERROR
from app.web.feed.liveness import Wire
from app.web.feed.session import FeedConnection

_logger = structlog.get_logger(__name__)
ENDING: Final = Close(INTERNAL_ERROR, "internal error")


class DirectFeed(ABC):
    """A feed on a connection of its own: the outlet of its subscription, and the receiver of its connection.

    It has a task only while it catches up, or has something to say.
    """

    __slots__ = ("_connection", "_ended", "_task", "_wire", "form")

    def __init__(self, connection: FeedConnection, socket: Wire, form: Form) -> None:
        """Take the connection away from the server, which has opened the feed on it."""
        self.form = form
        self._connection = connection
        self._wire = socket
        self._task: asyncio.Task[None] | None = None
        self._ended = False
        connection.detached = True
        socket.detach(self)
        connection.subscription.attach(self)

    @property
    def full(self) -> bool:
        """Whether the socket wants no more now."""
        return self._wire.full

    def write(self, data: bytes) -> bool:
        """Hand bytes to the socket. False: it is full now."""
        return self._wire.write(data)

    def wake(self) -> None:
        """Do what is to be done beside live events."""
        if self._task is None and not self._ended:
            self._task = asyncio.create_task(self._catch_up())

    def writable(self) -> None:
        """Go on where the socket was full."""
        self._connection.subscription.wake()

    def lost(self) -> None:
        """Give everything back."""
        self._ended = True
        if self._task is not None:
            self._task.cancel()
        self._connection.close()

    async def _catch_up(self) -> None:
        try:
            while (said := await self._connection.subscription.catch_up()) is not None:
                if isinstance(said, Close):
                    self._end(said)
                    return
                self._wire.write(self._encoded(said))
        except Exception:
            _logger.exception("feed_failed", connection_id=self._connection.id)
            self._end(ENDING)
        finally:
            self._task = None

    def _end(self, close: Close) -> None:
        """Say goodbye, once."""
        self._ended = True
        self._connection.reason = close.reason
        self._connection.abort_after_goodbye()
        self._say_goodbye(close)

    @abstractmethod
    def _encoded(self, message: ServiceMessage) -> bytes:
        """Return a message's bytes."""

    @abstractmethod
    def _say_goodbye(self, close: Close) -> None:
        """Write the last words."""

    @abstractmethod
    def received(self, data: bytes) -> None:
        """Take what the client sent."""


def direct_wire(scope: Mapping[str, Any]) -> Wire | None:
    """Return the connection of a request, to write to it; None on HTTP/2, which shares it, and under other servers."""
    connection: Wire | None = (scope.get("state") or {}).get("connection")
    return connection if scope.get("http_version") == "1.1" else None
