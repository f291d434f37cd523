"""A span for each request of the API, if somebody collects traces."""

from collections.abc import Mapping
from typing import Final, Protocol

import structlog
from quart import Quart, Response, g, request

_TRACED: Final = "/api/"
"""Probes come each second and say nothing; a feed would be a span of hours."""


class Traces(Protocol):
    """Makes spans; `app.traces` does."""

    def begin(self, method: str, route: str, path: str, headers: Mapping[str, str]) -> object:
        """Begin a request's span, below the caller's if `traceparent` names one; what follows is below this one."""

    def trace_id(self, span: object) -> str:
        """Return the trace's id, 32 digits."""

    def leave(self) -> None:
        """Begin nothing: what follows in this task belongs to no trace."""

    def end(self, span: object, status: int | None) -> None:
        """End a request's span. `status` None: its client is gone."""


class RequestTraces:
    """Begins and ends them."""

    def __init__(self, traces: Traces) -> None:
        """Make spans of these."""
        self._traces = traces

    def register(self, app: Quart) -> None:
        """Begin with every request of this app."""
        app.before_request(self._begin)
        app.after_request(self._answered)
        app.teardown_request(self._end)

    async def _begin(self) -> None:
        rule = request.url_rule
        if rule is None or not rule.rule.startswith(_TRACED):
            # A task may serve one request after another.
            self._traces.leave()
            return
        headers = {name.lower(): value for name, value in request.headers.items()}
        g.span = self._traces.begin(request.method, rule.rule, request.path, headers)
        structlog.contextvars.bind_contextvars(trace_id=self._traces.trace_id(g.span))

    async def _answered(self, response: Response) -> Response:
        g.traced_status = response.status_code
        return response

    async def _end(self, _: BaseException | None) -> None:
        if span := g.pop("span", None):
            self._traces.end(span, g.get("traced_status"))
