"""What is out of order now, by who says so."""

from collections.abc import Iterator
from dataclasses import dataclass

from app.core import messages
from app.core.clock import timestamp, utc_now
from app.core.hub import Hub
from app.core.messages import ServiceMessage


@dataclass(frozen=True, slots=True)
class Outage:
    """Something the feed depends on does not work."""

    source: str
    reason: str
    since: str
    message: ServiceMessage


class Outages:
    """Keeps what is out of order, and announces each change once."""

    def __init__(self, hub: Hub) -> None:
        """Start with everything in order."""
        self._hub = hub
        self._now: dict[str, Outage] = {}
        self.stored: set[str] = set()
        """Sources whose outages the database keeps, for all processes."""

    def __iter__(self) -> Iterator[Outage]:
        """Iterate over what is out of order now."""
        return iter(self._now.values())

    def __contains__(self, source: str) -> bool:
        """Tell whether this source is out of order."""
        return source in self._now

    def reason(self, source: str) -> str | None:
        """Return why a source is out of order, or None."""
        known = self._now.get(source)
        return None if known is None else known.reason

    def begin(self, source: str, reason: str, since: str | None = None) -> bool:
        """Announce `service.degraded`, unless just this is known; tells whether it did. `since`: now, if left out."""
        known = self._now.get(source)
        if known is not None and known.reason == reason:
            return False
        message = messages.degraded(source, reason)
        since = since or (known.since if known else timestamp(utc_now()))
        self._now[source] = Outage(source, reason, since, message)
        self._hub.announce(message)
        return True

    def tell(self, source: str, reason: str | None, since: str | None = None) -> None:
        """Announce what the database says of a source: out of order, or (None) in order again."""
        if reason is None:
            self.end(source, "it is over")
        else:
            self.stored.add(source)
            self.begin(source, reason, since)

    def end(self, source: str, reason: str) -> bool:
        """Announce `service.recovered` if the source was out of order; tells whether it was."""
        self.stored.discard(source)
        if self._now.pop(source, None) is None:
            return False
        self._hub.announce(messages.recovered(source, reason))
        return True
