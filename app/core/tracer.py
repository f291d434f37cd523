"""A port: follows a write from who asked for it, over its commit, to the last live client. By default nobody does."""

from collections.abc import Iterable, Sequence
from typing import Protocol

from app.core.event import Event


class Tracer(Protocol):
    """Traces the writes of this process. No method waits or raises."""

    def here(self) -> object | None:
        """Return where the caller stands in a trace; None: nobody follows it."""

    def committed(self, writes: Iterable[tuple[object, Sequence[Event]]], *, begun: int) -> None:
        """Tell of writes that shared a transaction: where each came from, and its events.

        `begun`: Unix nanoseconds at the transaction's begin. To be called as the events are published.
        """

    def flushed(self, seq: int) -> None:
        """Tell that every live client's socket has the events up to this one."""

    def forget(self) -> None:
        """Wait for no event any more: the log is another one."""


class Untraced:
    """Follows nothing, at the price of a call."""

    def here(self) -> None:
        """Return None."""

    def committed(self, writes: Iterable[tuple[object, Sequence[Event]]], *, begun: int) -> None:
        """Do nothing."""

    def flushed(self, seq: int) -> None:
        """Do nothing."""

    def forget(self) -> None:
        """Do nothing."""
