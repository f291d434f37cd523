"""Every setting, typed, from the environment; refused when unsafe."""

import ipaddress
import re
from typing import Annotated, Literal, Self

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import NoDecode

from app.access_settings import AccessSettings
from app.base_settings import Seconds
from app.chain_settings import ChainSettings
from app.core.origin import normal_origin
from app.store.address import parse_database_url
from app.web.access.hosts import LOOPBACK
from app.web.access.secrets import digest_of as hash_key

__all__ = ["Settings", "hash_key"]

_BROKER = re.compile(r"(nats|tls)://([^\s@/:,]+(:[^\s@/,]*)?@)?([\w.-]+|\[[0-9a-fA-F:]+\])(:\d{1,5})?")
_LONGEST_SOCKET_PATH = 107
"""Linux's `sun_path` has 108 bytes, the last of which is 0."""


class Settings(AccessSettings, ChainSettings):
    """The service's settings. A field is the environment variable of the same name, in capitals."""

    environment: Literal["development", "production"] = Field(
        "development", description="`production` refuses to start without `API_KEYS`"
    )
    host: str = Field("127.0.0.1", description="address to listen on; others than loopback need `API_KEYS`")
    port: int = Field(8000, ge=0, le=65535, description="port to listen on; 0 picks a free one")
    bind: str | None = Field(None, description="`unix:/path`: listen on a Unix socket instead of `HOST` and `PORT`")
    database_url: SecretStr = Field(
        SecretStr("sqlite:///fluxora.db"),
        description="`postgres://`, `postgresql://` or `sqlite:///file`",
    )
    database_schema: str = Field(
        "public", min_length=1, max_length=63, description="PostgreSQL schema of the tables; it must exist"
    )
    database_pool_size: int = Field(10, ge=2, le=500, description="PostgreSQL connections of a process")
    database_timeout: Seconds = Field(10, ge=0.1, description="seconds for connecting, and for one statement")
    web_concurrency: int | None = Field(
        None, ge=1, le=256, description="processes on one port; without it, `workers` in hypercorn.toml"
    )
    relay_url: SecretStr | None = Field(
        None, description="`nats://` or `tls://`, comma-separated: NATS JetStream carries events between processes"
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="least level that is logged")
    otel_exporter_otlp_endpoint: str | None = Field(
        None,
        pattern=r"^https?://[^\s/?#@]+(/[^\s?#]*)?$",
        description="OpenTelemetry collector that gets traces by OTLP over HTTP, as in `http://127.0.0.1:4318`",
    )
    otel_service_name: str = Field("fluxora-streams", min_length=1, description="name of the service in traces")
    access_log: bool = Field(
        default=False, description="`true`: a log line for every request, not for writes and failures alone"
    )
    docs: bool = Field(default=True, description="`false`: no `/docs`")
    live_page: bool = Field(default=True, description="`false`: no live page at `/`")
    trusted_proxy_hops: int = Field(0, ge=0, le=10, description="proxies in front whose header is believed (Heroku: 1)")
    proxy_header: Literal["X-Forwarded-For", "Forwarded"] = Field(
        "X-Forwarded-For", description="the one header in which those proxies name the client; others are ignored"
    )
    root_path: str = Field(
        "",
        pattern=r"^(/[A-Za-z0-9._~-]+)*/?$",
        description="path prefix under which a proxy serves this, as in `/fluxora`",
    )
    cors_origins: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="origins whose pages may read from a browser, comma-separated; `*` for all"
    )
    max_connections: int = Field(10_000, ge=1, description="feed connections of a process; more get 503")
    max_connections_per_address: int = Field(1_000, ge=1, description="feed connections of one address; more get 429")
    max_connections_per_principal: int = Field(
        1_000, ge=1, description="feed connections of one key or subject; more get 429"
    )
    max_request_connections: int = Field(
        1_000, ge=10, description="connections of a process that carry no feed; more end the one that waited longest"
    )
    max_body_bytes: int = Field(1_048_576, ge=1024, description="largest request body; more gets 413")
    max_events_body_bytes: int = Field(
        4_194_304, ge=1024, description="largest body of `POST /api/events`; more gets 413"
    )
    max_message_bytes: int = Field(4096, ge=64, description="largest WebSocket message from a client; more closes 1009")
    message_rate_limit: int = Field(10, ge=1, description="client messages in a window; more closes 1008")
    message_rate_window: Seconds = Field(10, description="seconds of that window")
    heartbeat_interval: Seconds = Field(30, description="seconds between WebSocket pings")
    keepalive_interval: Seconds = Field(15, description="seconds without data after which SSE gets a comment")
    write_timeout: Seconds = Field(30, description="seconds without write progress until a client is terminated")
    request_timeout: Seconds = Field(
        30, description="seconds for a request's head to arrive, and again for its body; then 408"
    )
    close_timeout: Seconds = Field(5, description="seconds a closing client gets to answer")
    retry_ms: int = Field(1000, ge=1, description="milliseconds after which a client should come back; jittered")
    ring_events: int = Field(10_000, ge=1, description="newest events kept in memory")
    ring_bytes: int = Field(33_554_432, ge=65_536, description="bytes of JSON kept in memory")
    flush_interval: float = Field(
        0.001, ge=0, le=1, description="seconds between two rounds of delivery under load; more joins more events"
    )
    replay_concurrency: int = Field(4, ge=1, description="replays that read the database at once")
    retention_seconds: float = Field(604_800, ge=0, le=3_000_000_000, description="events younger than this are kept")
    retention_events: int = Field(1_000_000, ge=1, description="this many newest events are kept, however old")
    prune_interval: Seconds = Field(60, description="seconds between two rounds of pruning")
    poll_interval: Seconds = Field(1, description="seconds between two looks at the log, which also test the database")
    max_log_lag: Seconds = Field(
        10, description="seconds that the feed may be behind the log; more turns `/health/ready` 503"
    )
    shutdown_timeout: Seconds = Field(
        25, ge=1.5, description="seconds from SIGTERM to the end, at most (Heroku kills at 30)"
    )

    @field_validator("database_url")
    @classmethod
    def _known_database(cls, value: SecretStr) -> SecretStr:
        parse_database_url(value.get_secret_value())
        return value

    @field_validator("relay_url")
    @classmethod
    def _known_broker(cls, value: SecretStr | None) -> SecretStr | None:
        for part in value.get_secret_value().split(",") if value else ():
            if not _BROKER.fullmatch(part):
                message = "is not a list of nats://[user:password@]host[:port] or tls://..."
                raise ValueError(message)
        return value

    @field_validator("cors_origins")
    @classmethod
    def _exact_origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(map(normal_origin, value))

    @field_validator("bind")
    @classmethod
    def _known_socket(cls, value: str | None) -> str | None:
        path = (value or "unix:/").removeprefix("unix:")
        if path == value or not path.startswith("/") or len(path.encode()) > _LONGEST_SOCKET_PATH:
            message = (
                f"must be unix: and an absolute path of at most {_LONGEST_SOCKET_PATH} bytes, as in unix:/run/feed.sock"
            )
            raise ValueError(message)
        return value

    @model_validator(mode="after")
    def _safe(self) -> Self:
        if self.relay_url and self.on_sqlite:
            message = "RELAY_URL needs PostgreSQL: an SQLite file is served by one process, which has nobody to tell"
            raise ValueError(message)
        return self

    @property
    def exposed(self) -> str | None:
        """Why there must be a way to tell who may write; None: only this machine can reach it, for development."""
        if self.environment == "production":
            return "ENVIRONMENT=production"
        return None if self.loopback else f"HOST={self.host} can be reached from other machines, so it"

    @property
    def served_hosts(self) -> frozenset[str] | None:
        """Names under which the service may be asked; None: any."""
        if self.allowed_hosts:
            return None if "*" in self.allowed_hosts else frozenset(map(str.lower, self.allowed_hosts))
        return LOOPBACK if self.loopback and not self.bind and not self.trusted_proxy_hops else None

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach the service."""
        if self.bind:
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    @property
    def on_sqlite(self) -> bool:
        """Whether the database is a file of this machine."""
        return parse_database_url(self.database_url.get_secret_value()).drivername == "sqlite"

    @property
    def differing(self) -> dict[str, str]:
        """The settings that are not at their default, by variable; secrets are not shown."""
        changed = ((name, getattr(self, name)) for name in type(self).model_fields)
        return {
            name.upper(): "(secret)" if "SecretStr" in repr(value) else str(value)
            for name, value in changed
            if value != type(self).model_fields[name].default
        }
