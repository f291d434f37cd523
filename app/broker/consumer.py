"""Events from the stream: how a process gets what others commit without asking the database for it."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import structlog
from nats.aio.msg import Msg
from nats.js.api import DeliverPolicy

from app.broker.jetstream import STREAM, Broker, subject_of
from app.broker.message import decode
from app.core.ports import Follower

_LOOK_SECONDS: Final = 1.0

_logger = structlog.stdlib.get_logger(__name__)


class JetStreamTail:
    """Offers what the stream brings. Whatever it misses, the follower finds by its looks at the log."""

    def __init__(self, broker: Broker, epoch: Callable[[], str]) -> None:
        """`epoch` tells which history the follower is in."""
        self._broker = broker
        self._epoch = epoch

    async def run(self, follower: Follower) -> None:
        """Consume until cancelled; come back after every failure."""
        await self._broker.again_and_again("tail", lambda: self._consume(follower))

    async def _consume(self, follower: Follower) -> None:
        async def heard(message: Msg) -> None:
            try:
                follower.offer(decode(message.data))
            except ValueError as error:
                _logger.warning("broker_message_ignored", subject=message.subject, reason=str(error))

        async with self._broker.connected() as (stream, lost):
            epoch = self._epoch()
            await stream.subscribe(
                subject_of(epoch),
                stream=STREAM,
                cb=heard,
                ordered_consumer=True,
                deliver_policy=DeliverPolicy.NEW,
            )
            # After subscribing: whatever was published before is read from the log now, whatever comes after is heard.
            follower.look_soon()
            _logger.info("tail_consumes", epoch=epoch)
            while not lost.is_set() and self._epoch() == epoch:
                with suppress(TimeoutError):
                    async with asyncio.timeout(_LOOK_SECONDS):
                        await lost.wait()
            if lost.is_set():
                message = "the connection was closed"
                raise ConnectionError(message)
