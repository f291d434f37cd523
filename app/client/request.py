"""What a client asks for, and how it says so on each transport."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlencode, urlsplit, urlunsplit

Filter = Mapping[str, str | Sequence[str]]
_SCHEMES = {"http": "ws", "https": "wss"}


@dataclass(frozen=True, slots=True)
class FeedRequest:
    """A feed to open: the service's address, a filter, and what to resume after."""

    url: str
    chosen: tuple[tuple[str, str], ...]
    cursor: str | None
    token: str | None

    @property
    def headers(self) -> dict[str, str]:
        """Credentials and cursor: neither belongs into an address."""
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        return headers | ({"Last-Event-ID": self.cursor} if self.cursor else {})

    @property
    def sse_url(self) -> str:
        """Where Server-Sent Events come from."""
        return self._at("/sse/streams", websocket=False)

    @property
    def websocket_url(self) -> str:
        """Where the WebSocket is."""
        return self._at("/ws/streams", websocket=True)

    def _at(self, path: str, *, websocket: bool) -> str:
        parts = urlsplit(self.url)
        scheme = _SCHEMES[parts.scheme] if websocket else parts.scheme
        return urlunsplit((scheme, parts.netloc, parts.path.rstrip("/") + path, urlencode(self.chosen), ""))


def pairs_of(chosen: Filter | None) -> tuple[tuple[str, str], ...]:
    """Return a filter's fields and values, one by one."""
    return tuple(
        (name, value)
        for name, values in (chosen or {}).items()
        for value in ([values] if isinstance(values, str) else values)
    )
