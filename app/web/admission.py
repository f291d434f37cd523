"""Who may write, and how many may listen."""

from collections import Counter
from collections.abc import Callable
from http import HTTPStatus
from typing import Final, NoReturn

from quart import Response

from app.web.client_address import FORWARDING, ClientAddresses, counted_as
from app.web.problems import problem
from app.web.transports import Transport

_RETRY_AFTER: Final = 5
_FULL: Final = "too-many-connections"
Report = Callable[[Counter[str]], None]
"""Is told the open connections by transport, whenever they change."""


class Refused(Exception):
    """No place for another connection; `response` says so, before any upgrade."""

    def __init__(self, status: HTTPStatus, slug: str, detail: str) -> None:
        super().__init__(slug)
        self.status, self.slug, self.detail = status, slug, detail

    @property
    def response(self) -> Response:
        """The problem document, with a time to come back."""
        return problem(self.status, self.slug, self.detail, retry_after=_RETRY_AFTER)


class Admission:
    """A place among the open connections; given back once, at the latest when nobody holds it any more.

    A response whose client left before its first byte never runs, so no `finally` in it does.
    """

    __slots__ = ("_guard", "_places", "address", "transport")

    def __init__(self, guard: "Guard", transport: Transport, address: str, principal: str | None = None) -> None:
        """Take a place."""
        self.transport = transport
        self.address = address
        self._guard = guard
        self._places: list[tuple[Counter[str], str]] = [
            (guard.by_transport, transport),
            (guard.by_address, counted_as(address)),
        ]
        if principal is not None:
            self._places.append((guard.by_principal, principal))
        for counter, name in self._places:
            counter[name] += 1
        guard.changed()

    def release(self) -> None:
        """Give the place back."""
        if not self._places:
            return
        for counter, name in self._places:
            counter[name] -= 1
            if not counter[name]:
                del counter[name]
        self._places = []
        self._guard.changed()

    def __del__(self) -> None:
        """Give the place back if nobody did."""
        self.release()


class Guard:
    """Counts open feed connections and keeps their caps."""

    def __init__(
        self,
        *,
        max_connections: int,
        max_per_address: int,
        proxy_hops: int,
        max_per_principal: int | None = None,
        proxy_header: str = FORWARDING[0],
        report: Report | None = None,
    ) -> None:
        """`proxy_hops`: how many proxies in front add to `proxy_header`."""
        self.addresses = ClientAddresses(hops=proxy_hops, header=proxy_header)
        self.by_transport: Counter[str] = Counter()
        self.by_address: Counter[str] = Counter()
        self.by_principal: Counter[str] = Counter()
        self.refused = 0
        self._max_connections = max_connections
        self._max_per_address = max_per_address
        self._max_per_principal = max_per_address if max_per_principal is None else max_per_principal
        self._report = report

    def changed(self) -> None:
        """Tell how many connections there are now."""
        if self._report:
            self._report(self.by_transport)

    def admit(self, transport: Transport, address: str, principal: str | None = None) -> Admission:
        """Take a place for a client; `principal` names who it is, if that is known. Raises Refused."""
        if refusal := self._refusal(address, principal):
            self.refused += 1
            raise refusal
        return Admission(self, transport, address, principal)

    def has_room(self, address: str) -> bool:
        """Tell whether a client that nobody knows would be admitted."""
        return self._refusal(address, None) is None

    def refuse_all(self) -> NoReturn:
        """Raise Refused: the service shuts down."""
        self.refused += 1
        raise Refused(HTTPStatus.SERVICE_UNAVAILABLE, "shutting-down", "the service is shutting down")

    def _refusal(self, address: str, principal: str | None) -> Refused | None:
        if self.by_transport.total() >= self._max_connections:
            return Refused(HTTPStatus.SERVICE_UNAVAILABLE, _FULL, "no more connections are taken now")
        if self.by_address[counted_as(address)] >= self._max_per_address:
            return Refused(HTTPStatus.TOO_MANY_REQUESTS, _FULL, "too many connections from your address")
        if principal is not None and self.by_principal[principal] >= self._max_per_principal:
            return Refused(HTTPStatus.TOO_MANY_REQUESTS, _FULL, "you have too many connections")
        return None
