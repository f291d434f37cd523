"""`/metrics`: Prometheus' view of the service, read off the live objects when asked."""

import os
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector

from app.web.services import Services


class _Snapshot(Collector):
    def __init__(self, running: Services) -> None:
        self._running = running

    def collect(self) -> Iterator[Metric]:
        running = self._running
        connections = GaugeMetricFamily("fluxora_connections", "Open feed connections", labels=["transport"])
        for transport in ("websocket", "sse"):
            connections.add_metric([transport], running.guard.by_transport[transport])
        yield connections
        yield CounterMetricFamily("fluxora_events_published", "Events published to the hub", running.hub.published)
        ways = CounterMetricFamily("fluxora_relay_events", "Events published, by the way they came", labels=["way"])
        for way in ("commit", "tail", "log"):
            ways.add_metric([way], running.relay.published[way])
        yield ways
        yield CounterMetricFamily("fluxora_connections_refused", "Connections over a cap", running.guard.refused)
        yield CounterMetricFamily(
            "fluxora_connections_terminated", "Connections ended as slow or vanished", running.liveness.terminated
        )
        yield GaugeMetricFamily("fluxora_log_head", "Newest published sequence number", running.hub.head)
        failures = CounterMetricFamily("fluxora_task_failures", "Failures of background tasks", labels=["task"])
        for task, count in running.background.failures.items():
            failures.add_metric([task], count)
        yield failures
        lag = running.relay.lag
        yield GaugeMetricFamily("fluxora_log_lag_events", "Sequence numbers committed and not published", lag.events)
        yield GaugeMetricFamily("fluxora_log_lag_seconds", "Since when the log is ahead of the feed", lag.seconds)
        yield GaugeMetricFamily("fluxora_outages", "Things that are out of order", len(list(running.outages)))
        if running.relay.latency_ms is not None:
            seconds = running.relay.latency_ms / 1000
            yield GaugeMetricFamily("fluxora_database_latency_seconds", "Last look at the log", seconds)
        process = GaugeMetricFamily("fluxora_process", "The process that answers", labels=["process"])
        process.add_metric([str(os.getpid())], 1)
        yield process


def render(running: Services) -> tuple[bytes, str]:
    """Return the metrics and their content type."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Snapshot(running))
    return generate_latest(registry), CONTENT_TYPE_LATEST
