"""The names under which the service may be asked: a page that rebinds its own name to our address has another."""

from http import HTTPStatus
from typing import Final

from quart import Quart, Response, request, websocket
from quart.wrappers.base import BaseRequestWebsocket

from app.web.problems import problem

LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})


class Hosts:
    """Refuses requests for other hosts (DNS rebinding)."""

    def __init__(self, served: frozenset[str] | None) -> None:
        """Serve these: names and addresses, without ports, in small letters; None: any."""
        self._served = served

    def register(self, app: Quart) -> None:
        """Keep the rule for every route of an app."""
        app.before_websocket(self._refuse_websocket)
        app.before_request(self._refuse_request)

    async def _refuse_websocket(self) -> Response | None:
        return self._refusal(websocket)

    async def _refuse_request(self) -> Response | None:
        return self._refusal(request)

    def admit(self, host: str) -> bool:
        """Tell whether a request with this Host header may be served."""
        name = name_of(host)
        return self._served is None or name in self._served or (self._served <= LOOPBACK and _is_local(name))

    def _refusal(self, client: BaseRequestWebsocket) -> Response | None:
        if self.admit(client.headers.get("Host", "")):
            return None
        detail = "this service is not asked under that name; ALLOWED_HOSTS lists the names that count"
        return problem(HTTPStatus.MISDIRECTED_REQUEST, "misdirected", detail)


def _is_local(name: str) -> bool:
    """Tell whether a name has no dot: it is of a local network or a hosts file, and nobody far away can rebind it.

    ICANN forbids names without a dot in public DNS (SAC 053).
    """
    return bool(name) and "." not in name and ":" not in name


def name_of(host: str) -> str:
    """Return a Host header's name or address, without its port."""
    host = host.strip().lower()
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]
