"""Which web pages may use the service: one rule for WebSocket, SSE and REST."""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Final
from urllib.parse import urlsplit

from quart import Quart, Response, request, websocket
from quart.wrappers.base import BaseRequestWebsocket

from app.core.origin import ANY, PORTS, normal_origin
from app.web.problems import problem

EXPOSED: Final = (
    "ETag",
    "Last-Event-ID",
    "Location",
    "Retry-After",
    "Idempotency-Replayed",
    "Link",
    "X-Request-ID",
)
"""Headers of answers that a page of another origin may read."""

_ALLOWED_HEADERS: Final = (
    "Authorization",
    "X-API-Key",
    "Content-Type",
    "Idempotency-Key",
    "If-Match",
    "If-None-Match",
    "Last-Event-ID",
    "X-Request-ID",
)
_ALLOWED_METHODS: Final = "GET, HEAD, POST, PATCH, DELETE"
_PREFLIGHT_SECONDS: Final = 600


class Origins:
    """The pages that may use the service: its own, and those of listed origins."""

    def __init__(self, listed: Sequence[str]) -> None:
        """Keep a list of origins, or `*`. Raises ValueError for what is neither."""
        self._listed = frozenset(map(normal_origin, listed))
        self.any = ANY in self._listed

    def admit(self, origin: str | None, host: str | None) -> bool:
        """Tell whether a request may be served. Without an `Origin` it does not come from another origin's page.

        Own is what has the request's `Host`. The scheme does not count, for TLS may end at a proxy.
        """
        return origin is None or self.listed(origin) or _same_host(origin, host)

    def listed(self, origin: str | None) -> bool:
        """Tell whether pages of an origin may read answers because a setting says so."""
        return origin is not None and (self.any or origin.lower() in self._listed)

    def register(self, app: Quart) -> None:
        """Keep the rule for every route of an app."""
        app.before_websocket(self._refuse_websocket)
        app.before_request(self._refuse_request)

    async def _refuse_websocket(self) -> Response | None:
        return self._refusal(websocket)

    async def _refuse_request(self) -> Response | None:
        refusal = self._refusal(request)
        if refusal is None and request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers:
            return self._preflight()
        return refusal

    def _refusal(self, client: BaseRequestWebsocket) -> Response | None:
        if self.admit(client.headers.get("Origin"), client.headers.get("Host")):
            return None
        detail = (
            "pages of this origin may not use the service: CORS_ORIGINS lists those that may; "
            "behind a proxy, the service's own pages need their Host header passed on"
        )
        return problem(HTTPStatus.FORBIDDEN, "foreign-origin", detail)

    def _preflight(self) -> Response:
        response = Response(status=HTTPStatus.NO_CONTENT)
        response.vary.update(("Access-Control-Request-Method", "Access-Control-Request-Headers"))
        if self.listed(request.headers.get("Origin")):
            response.headers["Access-Control-Allow-Methods"] = _ALLOWED_METHODS
            response.headers["Access-Control-Allow-Headers"] = ", ".join(_ALLOWED_HEADERS)
            response.headers["Access-Control-Max-Age"] = str(_PREFLIGHT_SECONDS)
        return response

    def mark(self, response: Response) -> None:
        """Let the page that asked read the answer, if it may."""
        if not self.any:
            # Also on answers to requests without one: a cache must not hand those to a page.
            response.vary.add("Origin")
        response.headers.update(self.shown_to(request.headers.get("Origin")))

    def shown_to(self, origin: str | None) -> dict[str, str]:
        """Return the headers, beside `Vary`, by which a page of an origin may read an answer."""
        if origin is None or not self.listed(origin):
            return {}
        exposed = {"Access-Control-Expose-Headers": ", ".join(EXPOSED)}
        if self.any:
            return {"Access-Control-Allow-Origin": ANY, **exposed}
        return {"Access-Control-Allow-Origin": origin, "Access-Control-Allow-Credentials": "true", **exposed}


def _same_host(origin: str, host: str | None) -> bool:
    """Compare host and port; `null` and whatever is no origin are nobody's own."""
    try:
        page, here = urlsplit(origin), urlsplit(f"//{host}")
        default = PORTS[page.scheme]
        own = here.hostname, here.port or default
        asking = page.hostname, page.port or default
    except (ValueError, KeyError):
        return False
    return page.hostname is not None and asking == own
