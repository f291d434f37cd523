"""HTTP/1.1, and nothing else: Hypercorn would change to HTTP/2 at a client's wish (decision 13)."""

from typing import Final

import h11
from hypercorn.events import Closed, RawData
from hypercorn.protocol.h11 import H11Protocol

_PREFACE: Final = (b"PRI", b"*", b"2.0")
"""How HTTP/2 begins (RFC 9113, 3.4), read as a request."""

_REFUSAL: Final = b"This service speaks HTTP/1.1. HTTP/2 ends at the proxy in front of it.\n"
_LISTS: Final = (b"connection", b"upgrade")


class Http1(H11Protocol):
    """Hypercorn's HTTP/1.1, which knows nothing of HTTP/2 and reads list headers as lists."""

    async def _check_protocol(self, event: h11.Request) -> None:
        """Refuse HTTP/2's preface. `Upgrade: h2c` is a wish that RFC 9110 (7.8) lets us ignore."""
        if (event.method, event.target, event.http_version) != _PREFACE:
            return
        head = (
            b"HTTP/1.1 505 HTTP Version Not Supported\r\nConnection: close\r\n"
            b"Content-Type: text/plain; charset=utf-8\r\nContent-Length: %d\r\n\r\n"
        )
        await self.send(RawData(data=head % len(_REFUSAL) + _REFUSAL))
        await self.send(Closed())
        raise PrefaceRefused

    async def _create_stream(self, request: h11.Request) -> None:
        """Serve a request, whose list headers may stand in several lines (RFC 9110, 5.3)."""
        await super()._create_stream(_with_lists(request))

    async def _handle_events(self) -> None:
        try:
            await super()._handle_events()
        except PrefaceRefused:
            return


class PrefaceRefused(Exception):
    """A client began with HTTP/2, was told, and its connection is closed."""


def _with_lists(request: h11.Request) -> h11.Request:
    """Join the lines of list headers, and pick the protocol that is served of those a client would change to."""
    headers: list[tuple[bytes, bytes]] = []
    joined: dict[bytes, list[bytes]] = {}
    for name, value in request.headers:
        if name in _LISTS:
            joined.setdefault(name, []).append(value)
        else:
            headers.append((name, value))
    if not joined:
        return request
    lists = {name: b", ".join(lines) for name, lines in joined.items()}
    if b"upgrade" in lists:
        offered = [protocol.strip() for protocol in lists[b"upgrade"].split(b",")]
        known = [protocol for protocol in offered if protocol.lower() == b"websocket"]
        lists[b"upgrade"] = known[0] if known else lists[b"upgrade"]
    return h11.Request(
        method=request.method,
        target=request.target,
        headers=headers + list(lists.items()),
        http_version=request.http_version,
    )
