"""The open connections of this process, by what could end them."""

from collections.abc import Iterator
from typing import Protocol

from app.core.access.principal import Principal
from app.core.slices import in_slices
from app.core.subscription import Subscription
from app.web.feed.liveness import Watched


class Connected(Protocol):
    """An open connection of somebody."""

    id: str
    principal: Principal
    subscription: Subscription
    watched: Watched
    began_at: str

    @property
    def transport(self) -> str:
        """How it is connected."""

    @property
    def address(self) -> str:
        """From where."""

    def dismiss(self, reason: str) -> None:
        """End it for good: its credential counts no more, or an administrator wants it to go."""


class Connections:
    """Knows who is connected."""

    def __init__(self) -> None:
        """Start with nobody."""
        self._open: dict[str, Connected] = {}

    def __iter__(self) -> Iterator[Connected]:
        """Iterate over those that are open now."""
        return iter(list(self._open.values()))

    def add(self, connected: Connected) -> None:
        """Note one that opens."""
        self._open[connected.id] = connected

    def discard(self, connected: Connected) -> None:
        """Forget one that is closed."""
        self._open.pop(connected.id, None)

    async def end(self, what: str) -> None:
        """End those of a credential, of `principal:<id>`, or `connection:<id>`, that are open now."""
        kind, _, name = what.partition(":")
        reason = "an administrator ended it" if kind in {"principal", "connection"} else "the credential was revoked"
        async for each in in_slices(self._open.values()):
            named = {"principal": each.principal.id, "connection": each.id}.get(kind)
            if name == named or each.principal.credential == what:
                each.dismiss(reason)
