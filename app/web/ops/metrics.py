"""`/metrics`: Prometheus' view of the service, read off the live objects when asked."""

import asyncio
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Final

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from app.logs import dropped
from app.web.services import Chain, Services, Workers

_PUBLISH_SECONDS: Final = 1.0
"""How old another worker's figures may be: Prometheus scrapes every 15 seconds or so."""


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
        yield from _feed(running)
        yield from _traffic(running)
        yield CounterMetricFamily("fluxora_log_lines_dropped", "Log lines that nobody could be told", dropped())
        yield CounterMetricFamily("fluxora_connections_refused", "Connections over a cap", running.guard.refused)
        yield CounterMetricFamily(
            "fluxora_connections_terminated", "Connections ended as slow or vanished", running.liveness.terminated
        )
        yield GaugeMetricFamily("fluxora_log_head", "Newest published sequence number", running.hub.head)
        kept = max(0, running.hub.head - running.relay.floor)
        yield GaugeMetricFamily("fluxora_log_events", "Events kept in the log; holes in its ids count, too", kept)
        failures = CounterMetricFamily("fluxora_task_failures", "Failures of background tasks", labels=["task"])
        for task, count in running.background.failures.items():
            failures.add_metric([task], count)
        yield failures
        yield GaugeMetricFamily("fluxora_writes_in_hand", "Writes begun and not done", running.streams.writes_in_hand)
        lag = running.relay.lag
        yield GaugeMetricFamily("fluxora_log_lag_events", "Sequence numbers committed and not published", lag.events)
        yield GaugeMetricFamily("fluxora_log_lag_seconds", "Since when the log is ahead of the feed", lag.seconds)
        yield GaugeMetricFamily("fluxora_outages", "Things that are out of order", len(list(running.outages)))
        if running.relay.latency_ms is not None:
            seconds = running.relay.latency_ms / 1000
            yield GaugeMetricFamily("fluxora_database_latency_seconds", "Last look at the log", seconds)
        if running.chain.polled:
            yield from _chain(running.chain)
        yield from ProcessCollector(registry=None).collect()
        process = GaugeMetricFamily("fluxora_process", "The process that answers", labels=["process"])
        process.add_metric([str(os.getpid())], 1)
        yield process


def _feed(running: Services) -> Iterator[Metric]:
    hub, measures = running.hub, running.hub.measures
    yield _counted("fluxora_events_delivered", "Events handed to clients' connections", "source", measures.delivered)
    yield _counted("fluxora_catch_up_pages", "Pages that clients read to catch up", "source", measures.pages)
    yield _counted("fluxora_resets", "Clients told feed.reset", "reason", measures.resets)
    yield GaugeMetricFamily("fluxora_subscriptions_behind", "Feeds that are not live now", hub.behind)
    yield GaugeMetricFamily("fluxora_ring_events", "Newest events held in memory", len(hub.ring))
    yield GaugeMetricFamily("fluxora_ring_bytes", "Bytes of their JSON", hub.ring.size)
    yield from measures.commit_to_write.collect()
    yield from measures.writes.collect()


def _traffic(running: Services) -> Iterator[Metric]:
    traffic, sent = running.traffic, Counter(running.traffic.bytes)
    for connected in running.connections:
        sent[connected.transport] += connected.watched.connection.written
    yield _counted("fluxora_connections_opened", "Feed connections opened", "transport", traffic.opened)
    closed = CounterMetricFamily(
        "fluxora_connections_closed", "Feed connections closed", labels=["transport", "reason", "code"]
    )
    for labels, count in traffic.closed.items():
        closed.add_metric(labels, count)
    yield closed
    yield _counted("fluxora_feed_bytes", "Bytes sent on feed connections", "transport", sent)
    yield from traffic.requests.collect()


def _counted(name: str, documentation: str, label: str, counts: Mapping[str, int]) -> Metric:
    family = CounterMetricFamily(name, documentation, labels=[label])
    for value, count in counts.items():
        family.add_metric([value], count)
    return family


def _chain(chain: Chain) -> Iterator[Metric]:
    yield GaugeMetricFamily("fluxora_chain_parked", "Items of the chain that wait", chain.parked)
    yield GaugeMetricFamily("fluxora_chain_gap", "1: ledgers are lost, and an operator must say go on", chain.gap)
    if chain.ledger is not None:
        yield GaugeMetricFamily("fluxora_chain_stored_ledger", "Ledger up to which all is stored", chain.ledger)
    progress = chain.progress
    if progress is None:
        return
    yield GaugeMetricFamily("fluxora_chain_leader", "1: this process reads the chain", progress.leader)
    if not progress.leader:
        return
    yield GaugeMetricFamily("fluxora_chain_position", "Ledger up to which the chain was read", progress.position)
    yield GaugeMetricFamily("fluxora_chain_head", "Newest ledger that a node had", progress.head)
    yield GaugeMetricFamily("fluxora_chain_lag_ledgers", "Ledgers that were not read yet", progress.lag_ledgers)
    yield GaugeMetricFamily("fluxora_chain_lag_seconds", "About how old the oldest of them is", progress.lag_seconds)
    provider = GaugeMetricFamily("fluxora_chain_provider", "The node that is asked", labels=["node"])
    provider.add_metric([progress.provider], 1)
    yield provider
    calls = CounterMetricFamily("fluxora_chain_calls", "Calls of nodes", labels=["node", "method", "outcome"])
    for labels, count in progress.calls.items():
        calls.add_metric(labels, count)
    yield calls
    items = CounterMetricFamily("fluxora_chain_items", "Items read, by what became of them", labels=["outcome"])
    for outcome, count in progress.items.items():
        items.add_metric([outcome], count)
    yield items


class _Group(Collector):
    """The metrics of all workers, each sample with the worker it is of: one scrape, whoever answers it."""

    def __init__(self, by_worker: Mapping[int, bytes]) -> None:
        self._by_worker = by_worker

    def collect(self) -> Iterator[Metric]:
        merged: dict[str, Metric] = {}
        for worker, text in sorted(self._by_worker.items()):
            for family in text_string_to_metric_families(text.decode()):
                whole = merged.setdefault(family.name, Metric(family.name, family.documentation, family.type))
                for sample in family.samples:
                    whole.add_sample(sample.name, {**sample.labels, "worker": str(worker)}, sample.value)
        yield from merged.values()


def render(running: Services) -> tuple[bytes, str]:
    """Return the metrics and their content type: of all workers, where there are several."""
    own, workers = _text(_Snapshot(running)), running.workers
    if workers is None:
        return own, CONTENT_TYPE_LATEST
    return _text(_Group({**workers.others(), workers.number: own})), CONTENT_TYPE_LATEST


async def publish_metrics(running: Services, workers: Workers) -> None:
    """Show the other workers this one's metrics, again and again."""
    while True:
        workers.publish(_text(_Snapshot(running)))
        await asyncio.sleep(_PUBLISH_SECONDS)


def _text(collector: Collector) -> bytes:
    registry = CollectorRegistry(auto_describe=False)
    registry.register(collector)
    return generate_latest(registry)
