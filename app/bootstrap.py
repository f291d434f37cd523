"""The composition root: the only place that wires the parts."""

import asyncio
import os
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from typing import Final

import structlog
from quart import Quart

from app.chain.reader import ConfiguredReader
from app.chain_wiring import chain_runners
from app.core.background import Background, Runner
from app.core.hub import Hub
from app.core.measures import Measures
from app.core.outages import Outages
from app.core.relay import Relay
from app.core.stream_service import StreamService
from app.core.subscriptions import Feed
from app.gate_wiring import access_runners, gate_of, open_gate
from app.settings import Settings
from app.store.address import dialect_for, parse_database_url
from app.store.event_log import SqlEventLog
from app.store.retention import Retention
from app.store.schema import opened
from app.store.store import SqlStore
from app.trace_wiring import traces_of
from app.web.access.hosts import Hosts
from app.web.access.rates import Rates
from app.web.access.roll_call import RollCall
from app.web.admission import Guard, Report
from app.web.application import create_quart
from app.web.feed.connections import Connections
from app.web.feed.goodbye import say_goodbye
from app.web.feed.liveness import Liveness
from app.web.feed.quick import QuickFeeds
from app.web.ops.metrics import publish_metrics
from app.web.origins import Origins
from app.web.services import Chain, Services, Workers

_WRITES: Final = "writes"
_logger = structlog.stdlib.get_logger(__name__)


class Application:
    """A wired service: the Quart app, and the drain that its launcher calls."""

    def __init__(self, settings: Settings, report: Report | None = None, workers: Workers | None = None) -> None:
        """Wire the parts; nothing is connected before the app starts serving.

        With other processes on the same port, `report` is told of every change in this one's connections, and `workers`
        knows those of all.
        """
        self.settings = settings
        self.dialect = dialect_for(
            parse_database_url(settings.database_url.get_secret_value()),
            pool_size=settings.database_pool_size,
            timeout=settings.database_timeout,
            schema=settings.database_schema,
        )
        self.database = self.dialect.connect()
        self.store = SqlStore(self.database, self.dialect)
        self.traces = traces_of(settings)
        self.services = self._wire(settings, report, workers)
        self.quart: Quart = create_quart(self.services)
        self.quick = QuickFeeds(self.services)

    async def drain(self, deadline: float, told: Callable[[], Awaitable[None]]) -> None:
        """Refuse what is new, tell every client to come back later, and meanwhile finish the writes in hand.

        `told` is called when no feed is left.
        """
        writes = asyncio.create_task(self.services.streams.drain())
        try:
            await say_goodbye(self.services, deadline)
            await told()
            await writes
        finally:
            writes.cancel()

    def crowded(self) -> bool:
        """Whether this process has no place for a feed while another one on the same port has."""
        services, most = self.services, self.settings.max_connections
        if services.workers is None or services.guard.by_transport.total() < most:
            return False
        others = (each for each in services.workers.members if each.process != os.getpid())
        return any(sum(each.by_transport.values()) < most for each in others)

    def _wire(self, settings: Settings, report: Report | None, workers: Workers | None) -> Services:
        measures, gate = Measures(self.traces), gate_of(settings, self.store)
        hub = Hub(
            ring_events=settings.ring_events,
            ring_bytes=settings.ring_bytes,
            tick=settings.flush_interval,
            measures=measures,
        )
        log = SqlEventLog(self.database, self.dialect)
        outages = Outages(hub)
        self.store.told = partial(_tell_of_writes, outages)
        relay = Relay(hub, log, outages, poll_seconds=settings.poll_interval)
        return Services(
            settings=settings,
            hub=hub,
            log=log,
            store=self.store,
            relay=relay,
            outages=outages,
            feed=Feed(
                hub,
                log,
                outages,
                look_soon=relay.look_soon,
                replay_concurrency=settings.replay_concurrency,
                retry_ms=settings.retry_ms,
            ),
            streams=self._streams(settings, relay, outages, measures),
            guard=_guard(settings, report),
            workers=workers,
            traces=self.traces,
            chain=Chain(polled=bool(settings.rpc_urls)),
            background=Background(),
            gate=gate,
            rates=Rates(settings.request_rate),
            hosts=Hosts(settings.served_hosts),
            origins=Origins(settings.cors_origins),
            connections=Connections(),
            roll_call=RollCall(gate.store),
            liveness=_liveness(settings),
        )

    def _streams(self, settings: Settings, relay: Relay, outages: Outages, measures: Measures) -> StreamService:
        return StreamService(
            self.store,
            relay,
            timeout=settings.database_timeout * 1.5,
            reader=ConfiguredReader({each.state.contract_id: each.state for each in settings.contracts}),
            alarm=outages.tell,
            transactions=self.dialect.concurrent_writers,
            measures=measures,
        )

    @asynccontextmanager
    async def running(self, *, indexing: bool | None = None) -> AsyncIterator[None]:
        """Connect, check the schema, and keep what runs in the background. Raises FluxoraError when it cannot start.

        `indexing`: whether this process reads the chain; None: if the settings say so.
        """
        settings, services = self.settings, self.services
        retention = Retention(
            self.store,
            age=timedelta(seconds=settings.retention_seconds),
            count=settings.retention_events,
            interval=settings.prune_interval,
        )
        async with opened(self.database):
            await services.relay.warm_up(settings.ring_events)
            await self.store.examine(services.hub.head)
            await open_gate(services, settings)
            runners = access_runners(services) | {
                "relay": services.relay.run,
                "liveness": services.liveness.run,
                "retention": retention.run,
                "refusals": services.refusals.run,
            }
            if services.workers is not None:
                runners["metrics"] = partial(publish_metrics, services, services.workers)
            reads = settings.polls if indexing is None else indexing
            chain = chain_runners(settings, services, self.store, reads=reads)
            async with services.background.running({**runners, **self._tails(), **chain}):
                yield
        if self.traces is not None:
            await asyncio.to_thread(self.traces.close)

    def _tails(self) -> dict[str, Runner]:
        """Return what brings other processes' commits: a broker if there is one, else the database's notifications."""
        url = self.settings.relay_url
        elected = self.dialect.elected_tail() if url else None
        if url and elected:
            from app.broker_wiring import broker_runners  # noqa: PLC0415 - its packages take 130 ms, and few need them

            return broker_runners(url.get_secret_value(), self.services, elected)
        notified = self.dialect.tail()
        return {"tail": partial(notified.run, self.services.relay)} if notified else {}


def _liveness(settings: Settings) -> Liveness:
    return Liveness(
        heartbeat=settings.heartbeat_interval,
        write_timeout=settings.write_timeout,
        keepalive=settings.keepalive_interval,
    )


def _guard(settings: Settings, report: Report | None) -> Guard:
    return Guard(
        max_connections=settings.max_connections,
        max_per_address=settings.max_connections_per_address,
        max_per_principal=settings.max_connections_per_principal,
        proxy_hops=settings.trusted_proxy_hops,
        proxy_header=settings.proxy_header,
        report=report,
    )


def create_app(settings: Settings | None = None) -> Quart:
    """Return the ASGI app, for any server; `python -m app` is the one that drains."""
    application = Application(settings or Settings())

    async def serving() -> AsyncGenerator[None, None]:
        async with application.running():
            yield

    application.quart.while_serving(serving)
    return application.quart


def _tell_of_writes(outages: Outages, reason: str | None) -> None:
    """Say once that writes are refused and why, and once that they succeed again."""
    if reason is None:
        if outages.end(_WRITES, "writes succeed again"):
            _logger.warning("writes_recovered")
    elif outages.begin(_WRITES, reason):
        _logger.error("writes_refused", reason=reason)
