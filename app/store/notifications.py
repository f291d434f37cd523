"""LISTEN: how a process learns at once of what others commit."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final, TypeAlias

import asyncpg
import structlog

from app.core.backoff import Backoff
from app.core.ports import Follower

_Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

_PING_SECONDS: Final = 1.0
_LEASE_SECONDS: Final = 10
_CLOSE_SECONDS: Final = 0.5
_LOST: Final = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)

_logger = structlog.stdlib.get_logger(__name__)


class NotifyTail:
    """Nudges at each notification that is not this process's own: what it commits itself is handed over directly.

    It has a connection of its own, because LISTEN belongs to a session. A connection that says nothing is asked every
    second, so that one that was cut without a word is found out within seconds; all that was missed meanwhile is one
    look_soon away.
    """

    def __init__(self, connect: Callable[[], Awaitable[_Connection]], *, channel: str, own: str) -> None:
        """`own`: the payload of this process's notifications. Statements on the connection must have a time limit."""
        self._connect = connect
        self._channel = channel
        self._own = own
        self._backoff = Backoff()

    async def run(self, follower: Follower) -> None:
        """Listen until cancelled; come back after every failure of the connection. Raises what is none."""

        def failed(error: Exception | None, first: bool) -> None:  # noqa: FBT001 - the backoff's signature
            if error is not None and not isinstance(error, _LOST):
                raise error
            if error is not None and first:
                _logger.warning("tail_lost", reason=str(error) or type(error).__name__)

        await self._backoff.run(lambda: self._listen(follower), failed)

    async def _listen(self, follower: Follower) -> None:
        connection = await self._connect()
        lost = asyncio.Event()

        def heard(_connection: object, _pid: int, _channel: str, payload: object) -> None:
            if payload != self._own:
                follower.look_soon()

        try:
            connection.add_termination_listener(lambda _: lost.set())
            await self._admitted(connection, lost)
            await connection.add_listener(self._channel, heard)
            # After LISTEN: whatever was committed before is read now, whatever comes after is heard.
            follower.look_soon()
            _logger.info("tail_listens")
            self._backoff.reset()
            while True:
                await _pause(lost)
                await self._ping(connection, follower)
        finally:
            with suppress(Exception):
                await connection.close(timeout=_CLOSE_SECONDS)

    async def _admitted(self, connection: _Connection, lost: asyncio.Event) -> None:
        """Wait until this process may listen: at once."""

    async def _ping(self, connection: _Connection, _: Follower) -> None:
        await connection.execute("SELECT 1")


class ElectedTail(NotifyTail):
    """Listens in one process of all: the one whose session holds an advisory lock. It hears its own commits too.

    The lock goes with the session. One that was cut without a word holds it until the server ends it as idle.
    """

    def __init__(self, connect: Callable[[], Awaitable[_Connection]], *, channel: str, lock: int) -> None:
        """`lock`: the advisory lock's key."""
        super().__init__(connect, channel=channel, own="")
        self._lock = lock

    async def _admitted(self, connection: _Connection, lost: asyncio.Event) -> None:
        # PostgreSQL 14 or newer; before, TCP keepalives must find out.
        with suppress(asyncpg.UndefinedObjectError):
            await connection.execute(f"SET idle_session_timeout = '{_LEASE_SECONDS}s'")
        while not await connection.fetchval("SELECT pg_try_advisory_lock($1)", self._lock):
            await _pause(lost)
        _logger.info("relay_elected")

    async def _ping(self, connection: _Connection, follower: Follower) -> None:
        await super()._ping(connection, follower)
        # Through a pooler nothing may be heard.
        follower.look_soon()


async def _pause(lost: asyncio.Event) -> None:
    """Wait a little; raises ConnectionError when the connection is lost meanwhile."""
    with suppress(TimeoutError):
        async with asyncio.timeout(_PING_SECONDS):
            await lost.wait()
    if lost.is_set():
        message = "the connection was closed"
        raise ConnectionError(message)
