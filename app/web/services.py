"""What the routes work with, wired by `app.bootstrap`."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol, cast

from quart import current_app

from app.core.background import Background
from app.core.hub import Hub
from app.core.outages import Outages
from app.core.ports import EventLog, Store
from app.core.relay import Relay
from app.core.stream_service import StreamService
from app.core.subscriptions import Feed
from app.web.access.gate import Gate
from app.web.access.hosts import Hosts
from app.web.access.rates import Rates
from app.web.access.roll_call import RollCall
from app.web.admission import Guard
from app.web.feed.connections import Connected as Connected  # noqa: PLC0414 - shown to the other rooms
from app.web.feed.connections import Connections
from app.web.feed.liveness import Liveness
from app.web.origins import Origins
from app.web.refusals import Refusals
from app.web.request_traces import Traces
from app.web.traffic import Traffic

EXTENSION: Final = "fluxora"


class WebSettings(Protocol):
    """The settings that the web keeps."""

    max_body_bytes: int
    max_events_body_bytes: int
    max_message_bytes: int
    message_rate_limit: int
    message_rate_window: float
    heartbeat_interval: float
    keepalive_interval: float
    close_timeout: float
    retry_ms: int
    max_log_lag: float
    cors_origins: tuple[str, ...]
    access_log: bool
    docs: bool
    live_page: bool
    root_path: str
    token_expiring_seconds: float

    @property
    def served_hosts(self) -> frozenset[str] | None:
        """Names under which the service may be asked; None: any."""


class Worker(Protocol):
    """One of several processes on the same port, and its connections."""

    @property
    def process(self) -> int:
        """Its id."""

    @property
    def by_transport(self) -> Mapping[str, int]:
        """Its open feed connections."""


class Workers(Protocol):
    """All processes on the same port."""

    @property
    def number(self) -> int:
        """Which of them this one is, from 0."""

    @property
    def members(self) -> Sequence[Worker]:
        """Those that serve now."""

    def publish(self, metrics: bytes) -> None:
        """Show the others this one's metrics."""

    def others(self) -> Mapping[int, bytes]:
        """Return the others' metrics, by their numbers."""


class ChainProgress(Protocol):
    """How far the chain was read. Where another process reads it, only what that one stored is known."""

    leader: bool
    position: int
    head: int
    lag_seconds: float
    provider: str
    gap: bool
    calls: Counter[tuple[str, str, str]]
    items: Counter[str]

    @property
    def lag_ledgers(self) -> int:
        """Ledgers that the nodes have and that were not read."""


@dataclass(slots=True)
class Chain:
    """What is known of the chain. `progress` None: this process does not read it; `polled`: some process does.

    `parked`, `ledger` and `gap` are as the database has them: how many items wait, and up to where all was stored.
    """

    polled: bool = False
    progress: ChainProgress | None = None
    parked: int = 0
    ledger: int | None = None
    gap: bool = False


@dataclass(slots=True)
class Services:
    """The parts of a running service."""

    settings: WebSettings
    hub: Hub
    log: EventLog
    store: Store
    relay: Relay
    outages: Outages
    feed: Feed
    streams: StreamService
    guard: Guard
    gate: Gate
    rates: Rates
    hosts: Hosts
    origins: Origins
    connections: Connections
    roll_call: RollCall
    liveness: Liveness
    background: Background
    workers: Workers | None = None
    traces: Traces | None = None
    chain: Chain = field(default_factory=Chain)
    refusals: Refusals = field(default_factory=Refusals)
    traffic: Traffic = field(default_factory=Traffic)

    @property
    def draining(self) -> bool:
        """Whether the service shuts down; the feed knows."""
        return self.feed.closing


def services() -> Services:
    """Return the services of the app that handles this request."""
    return cast("Services", current_app.extensions[EXTENSION])
