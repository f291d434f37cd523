"""LISTEN: how a process learns at once of what others commit."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

import asyncpg
import structlog

from app.core.ports import Follower

_PING_SECONDS: Final = 1.0
_CLOSE_SECONDS: Final = 0.5
_FIRST_DELAY: Final = 0.1
_LONGEST_DELAY: Final = 5.0

_logger = structlog.stdlib.get_logger(__name__)


class NotifyTail:
    """Nudges at each notification that is not this process's own: what it commits itself is handed over directly.

    It has a connection of its own, because LISTEN belongs to a session. A connection that says nothing is asked every
    second, so that one that was cut without a word is found out within seconds; all that was missed meanwhile is one
    nudge away.
    """

    def __init__(
        self, connect: Callable[[], Awaitable["asyncpg.Connection[asyncpg.Record]"]], *, channel: str, own: str
    ) -> None:
        """`own`: the payload of this process's notifications. Statements on the connection must have a time limit."""
        self._connect = connect
        self._channel = channel
        self._own = own
        self._failures = 0

    async def run(self, follower: Follower) -> None:
        """Listen until cancelled; come back after every failure, sooner at first, never all processes at once."""
        while True:
            try:
                await self._listen(follower)
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError) as error:
                if not self._failures:
                    _logger.warning("tail_lost", reason=str(error) or type(error).__name__)
            except Exception:
                _logger.exception("tail_failed")
            delay = min(_LONGEST_DELAY, _FIRST_DELAY * 2**self._failures)
            self._failures = min(self._failures + 1, 16)
            await asyncio.sleep(random.uniform(delay / 2, delay))  # noqa: S311 - spreads reconnects, guards nothing

    async def _listen(self, follower: Follower) -> None:
        connection = await self._connect()
        lost = asyncio.Event()

        def heard(_connection: object, _pid: int, _channel: str, payload: object) -> None:
            if payload != self._own:
                follower.nudge()

        try:
            connection.add_termination_listener(lambda _: lost.set())
            await connection.add_listener(self._channel, heard)
            # After LISTEN: whatever was committed before is read now, whatever comes after is heard.
            follower.nudge()
            _logger.info("tail_listens")
            self._failures = 0
            while not lost.is_set():
                with suppress(TimeoutError):
                    async with asyncio.timeout(_PING_SECONDS):
                        await lost.wait()
                if not lost.is_set():
                    await connection.execute("SELECT 1")
            message = "the connection was closed"
            raise ConnectionError(message)
        finally:
            with suppress(Exception):
                await connection.close(timeout=_CLOSE_SECONDS)
