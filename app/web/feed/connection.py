"""A client's connection, as a feed needs it: whoever serves us has one that is like this."""

from typing import Final, Protocol

WRITE_MARK: Final = 64 * 1024
"""Above so many unsent bytes, a connection is full; it has room again at a quarter of it."""


class Receiver(Protocol):
    """Whom a connection tells what happens."""

    def received(self, data: bytes) -> None:
        """Take bytes from the peer."""

    def writable(self) -> None:
        """Hear that the connection is full no more."""

    def lost(self) -> None:
        """Hear that it has ended; nothing follows."""


class ClientConnection(Protocol):
    """A socket of its own (`app.server.connection.Connection`), or ASGI's `send` (`app.web.feed.asgi_outlet`)."""

    last_read: float
    written: int
    finished: bool

    @property
    def full(self) -> bool:
        """Whether nothing more should be written now, or ever."""

    @property
    def buffered(self) -> int:
        """Bytes written and not taken by the kernel."""

    @property
    def outstanding(self) -> int:
        """Bytes written and not acknowledged by the peer."""

    def detach(self, receiver: Receiver) -> None:
        """Take it away from the server: from now on the receiver reads, and alone writes."""

    def write(self, data: bytes) -> bool:
        """Write; False when it is full now. Nothing is written any more once it is `finished`."""

    def pause_reading(self) -> None:
        """Leave what comes to the kernel."""

    def resume_reading(self) -> None:
        """Read on."""

    def finish(self) -> None:
        """Send no more, but read on."""

    def close(self) -> None:
        """End it once everything is sent."""

    def abort(self) -> None:
        """End it at once."""
