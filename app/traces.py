"""Traces by OpenTelemetry: one from a request, over the commit of its write, to the last live client's socket.

Needs the extra `traces`. The exporter sends from a thread of its own, to a collector by OTLP over HTTP.
"""

import time
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from threading import Thread
from typing import Final, cast

from opentelemetry import context, trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Span, SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from app import __version__
from app.core.event import Event

_MOST: Final = 10_000
"""Writes whose flush is awaited; of more, the oldest are not followed further."""

_LAST_SECONDS: Final = 2
"""A collector that is away must not cost the time in which the next process could have started."""

_SERVER_ERROR: Final = 500


class OpenTelemetryTraces:
    """Makes the spans: of a request (`POST /api/streams`), and below it `commit` and `flush`."""

    def __init__(self, endpoint: str, service_name: str) -> None:
        """Send to a collector's base address. What else there is to say, the SDK reads from its own variables."""
        resource = Resource.create({"service.name": service_name, "service.version": __version__})
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        exporter = OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces")
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("fluxora-streams", __version__)
        self._propagator = TraceContextTextMapPropagator()
        self._unflushed: deque[tuple[int, int, Context]] = deque(maxlen=_MOST)

    def begin(self, method: str, route: str, path: str, headers: Mapping[str, str]) -> Span:
        """Begin a request's span, below the caller's if `traceparent` names one; what follows is below this one.

        `headers` have names in small letters.
        """
        span = self._tracer.start_span(
            f"{method} {route}",
            self._propagator.extract(headers, Context()),
            SpanKind.SERVER,
            {"http.request.method": method, "http.route": route, "url.path": path},
        )
        context.attach(trace.set_span_in_context(span, Context()))
        return span

    def trace_id(self, span: object) -> str:
        """Return the trace's id, 32 digits."""
        return trace.format_trace_id(cast("Span", span).get_span_context().trace_id)

    def leave(self) -> None:
        """Begin nothing: what follows in this task belongs to no trace."""
        context.attach(Context())

    def end(self, span: object, status: int | None) -> None:
        """End a request's span. `status` None: its client is gone."""
        ended = cast("Span", span)
        if status is not None:
            ended.set_attribute("http.response.status_code", status)
        if status is not None and status >= _SERVER_ERROR:
            ended.set_attribute("error.type", str(status))
            ended.set_status(Status(StatusCode.ERROR))
        ended.end()

    def here(self) -> Context | None:
        """Return where the caller stands, if this is recorded."""
        return context.get_current() if trace.get_current_span().is_recording() else None

    def committed(self, writes: Iterable[tuple[object, Sequence[Event]]], *, begun: int) -> None:
        """Make a span for each write, and wait for its events to be flushed."""
        now = time.time_ns()
        for place, events in writes:
            last = events[-1]
            told: dict[str, str | int] = {"fluxora.last_event_id": last.id, "fluxora.events": len(events)}
            self._tracer.start_span("commit", cast("Context", place), attributes=told, start_time=begun).end(now)
            self._unflushed.append((last.seq, now, cast("Context", place)))

    def flushed(self, seq: int) -> None:
        """Make a span for each write whose events the live clients have."""
        waiting = self._unflushed
        now = time.time_ns() if waiting else 0
        while waiting and waiting[0][0] <= seq:
            _, begun, place = waiting.popleft()
            self._tracer.start_span("flush", place, start_time=begun).end(now)

    def forget(self) -> None:
        """Wait for no flush any more."""
        self._unflushed.clear()

    def close(self) -> None:
        """Send what is left, and stop. Waits for the collector, but not for long."""
        # The exporter tries again and again, and nothing can interrupt it.
        ending = Thread(target=self._provider.shutdown, daemon=True)
        ending.start()
        ending.join(_LAST_SECONDS)
