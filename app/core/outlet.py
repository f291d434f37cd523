"""What the core needs of a client's connection."""

from collections.abc import Sequence
from typing import Protocol

from app.core.event import Event
from app.core.messages import ServiceMessage


class Form(Protocol):
    """How events look on one kind of connection."""

    @property
    def name(self) -> str:
        """Tells this form from others."""

    def join(self, events: Sequence[Event]) -> bytes:
        """Return the bytes of events, one after the other; each event is encoded once."""


class Outlet(Protocol):
    """A socket that takes bytes at once, and whoever looks after it."""

    @property
    def form(self) -> Form:
        """How events look on it."""

    @property
    def full(self) -> bool:
        """Whether the socket wants no more now. `Subscription.wake` is called when it does again."""

    def write(self, data: bytes) -> bool:
        """Hand bytes to the socket. False: it is full now."""

    def say(self, message: ServiceMessage) -> None:
        """Write a message of the service. Called while it is not full."""

    def wake(self) -> None:
        """See to it that `Subscription.catch_up` is called, if it does not run now."""

    def fail(self) -> None:
        """End the client's feed: writing to it failed."""
