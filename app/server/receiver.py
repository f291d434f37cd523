"""Whom a connection belongs to once it is taken away from the server."""

from typing import Protocol


class Receiver(Protocol):
    """Whom a detached connection tells what happens."""

    def received(self, data: bytes) -> None:
        """Take bytes from the peer."""

    def writable(self) -> None:
        """Hear that the connection is full no more."""

    def left(self) -> bool:
        """Hear that the peer sends no more; tell whether it may still read."""

    def lost(self) -> None:
        """Hear that it has ended; nothing follows."""
