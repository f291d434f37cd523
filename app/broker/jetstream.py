"""One connection to NATS, and the stream that carries events."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

import nats
import nats.errors
import structlog
from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.js.api import DiscardPolicy, StorageType, StreamConfig
from nats.js.errors import NotFoundError

from app.core.backoff import Backoff

STREAM: Final = "fluxora"
_SUBJECTS: Final = "fluxora.log"
_MOST_MESSAGES: Final = 10_000
_MOST_BYTES: Final = 67_108_864
_CONNECT_SECONDS: Final = 3
_PING_SECONDS: Final = 2

_logger = structlog.stdlib.get_logger(__name__)


def subject_of(epoch: str) -> str:
    """Return where a history's events go: several services, and both sides of a failover, may share one broker."""
    return f"{_SUBJECTS}.{epoch}"


class Broker:
    """Where NATS is, and how to come back to it."""

    def __init__(self, url: str) -> None:
        """`url`: one or more, comma-separated."""
        self._servers = url.split(",")

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[tuple[JetStreamContext, asyncio.Event]]:
        """Connect, see to it that the stream exists, and return it; the event is set when the connection is lost.

        nats-py could reconnect by itself; whoever uses the stream would not know what it missed, nor that a broker that
        was restarted has lost the stream.
        """
        lost = asyncio.Event()

        async def closed() -> None:
            lost.set()

        client = await nats.connect(
            self._servers,
            name="fluxora-streams",
            allow_reconnect=False,
            # Each server twice, then it says so; by itself it would try for two minutes.
            max_reconnect_attempts=1,
            reconnect_time_wait=0,
            connect_timeout=_CONNECT_SECONDS,
            ping_interval=_PING_SECONDS,
            max_outstanding_pings=1,
            error_cb=_ignored,
            closed_cb=closed,
        )
        try:
            stream = client.jetstream(timeout=_CONNECT_SECONDS)
            await _ensure(stream)
            yield stream, lost
        finally:
            await _close(client)

    async def again_and_again(self, what: str, work: Callable[[], Awaitable[None]]) -> None:
        """Do `work`, which connects, until cancelled; after a failure wait, longer each time that it did not last.

        Raises what is no failure of the broker.
        """

        def failed(error: Exception | None, first: bool) -> None:  # noqa: FBT001 - the backoff's signature
            if error is not None and not isinstance(error, OSError | nats.errors.Error):
                raise error
            if error is not None and first:
                _logger.warning("broker_lost", by=what, reason=str(error) or type(error).__name__)

        await Backoff().run(work, failed)


async def _ensure(stream: JetStreamContext) -> None:
    """Make the stream unless it is there; one that an operator made, with replicas or on disk, serves as well.

    In memory: it carries what the log has, and what is lost with it is read from the log.
    """
    try:
        await stream.stream_info(STREAM)
    except NotFoundError:
        config = StreamConfig(
            name=STREAM,
            subjects=[f"{_SUBJECTS}.*"],
            storage=StorageType.MEMORY,
            discard=DiscardPolicy.OLD,
            max_msgs=_MOST_MESSAGES,
            max_bytes=_MOST_BYTES,
        )
        await stream.add_stream(config)


async def _close(client: Client) -> None:
    try:
        async with asyncio.timeout(_CONNECT_SECONDS):
            await client.close()
    except (OSError, nats.errors.Error):
        _logger.debug("broker_close_failed")


async def _ignored(_: Any) -> None:
    """Errors come back from the call that failed, or end the connection."""
