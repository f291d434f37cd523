"""Runs the app in one Hypercorn process: signals, drain, hard deadline."""

import asyncio
import gc
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final, Protocol

import structlog
from hypercorn.asyncio.run import worker_serve
from hypercorn.config import Sockets
from hypercorn.typing import ASGIFramework
from hypercorn.utils import wrap_app

from app.server.connection import Connection
from app.server.entrance import QuickFeeds
from app.server.install import install
from app.server.listeners import Listeners, wait
from app.server.resources import Complaints
from app.server.signals import Stop
from app.server.sockets import Limits, read_config

_STRAGGLER_SECONDS: Final = 0.5

_ACCEPTS: Final = 1
"""Connections that are accepted in one turn of the loop, though more may wait: the rest of a reconnect storm stays in
the kernel's queue, so that who is connected is served meanwhile. asyncio would take as many as the queue holds.
Measured while 5,000 clients connect and leave, longest delivery to 1,000 others: 3.3 s with 16, 1.4 s with 4, 0.55 s
with 2, 0.35 s with 1; connects/s 1,180, 1,180, 1,290, 1,310."""

_logger = structlog.stdlib.get_logger(__name__)


class Drain(Protocol):
    """What the app does before its connections are cut."""

    async def __call__(self, deadline: float, told: Callable[[], Awaitable[None]]) -> None:
        """Tell clients and finish what is in hand, until the loop's time is `deadline`; call `told` between the two."""


async def launch(
    app: ASGIFramework,
    drain: Drain,
    settings: Limits,
    sockets: Sockets,
    *,
    quick: QuickFeeds,
    announce: Callable[[], None],
    parent: int | None = None,
    crowded: Callable[[], bool] = lambda: False,
    inherited: bool = False,
) -> None:
    """Serve until SIGTERM, SIGINT or SIGHUP, or until `parent`, a descriptor, becomes readable.

    `quick` serves plain requests for feeds, `app` all others. `announce` is called when it begins. While it is
    `crowded`, connections are left to other processes; from the stop on, those of `inherited` sockets are left to
    whoever serves next. Afterwards the signals are ignored: a platform may send them to every process, and a supervisor
    sends them too.
    """
    config, entrance = read_config(settings), install(settings, quick)
    connections = entrance.connections
    queue, config.backlog = config.backlog, _ACCEPTS
    asked = asyncio.Event()
    stop = _stop(asked, settings, parent)
    listeners = Listeners(sockets, may_accept=lambda: not (crowded() or (inherited and asked.is_set())))

    async def until_drained() -> None:
        listeners.open(queue)
        announce()
        await asked.wait()
        if parent is not None:
            asyncio.get_running_loop().remove_reader(parent)
        _logger.info("shutdown_started", connections=len(connections))
        hang_up = partial(listeners.close, shared=inherited or parent is not None)
        await _drain(partial(drain, told=hang_up), connections, settings.shutdown_timeout)
        entrance.close()

    _calm_collector()
    with stop.heeded():
        await worker_serve(wrap_app(app, 0, "asgi"), config, sockets=sockets, shutdown_trigger=until_drained)
    _logger.info("shutdown_finished")


def _stop(asked: asyncio.Event, settings: Limits, parent: int | None) -> Stop:
    """Return what asks for the end: a signal, or a parent that is gone."""
    loop = asyncio.get_running_loop()
    stop = Stop(lambda: loop.call_soon_threadsafe(asked.set), settings.shutdown_timeout)
    loop.set_exception_handler(Complaints())
    if parent is not None:
        loop.add_reader(parent, stop.request)
    return stop


async def _drain(drain: Callable[[float], Awaitable[None]], connections: set[Connection], seconds: float) -> None:
    """Let the app say goodbye; then abort who is left, for Hypercorn waits for open connections before anything else.

    Half of the time is for clients that still read; the rest is for what comes after.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds / 2
    try:
        async with asyncio.timeout_at(deadline):
            await drain(deadline)
    except TimeoutError:
        _logger.warning("drain_timed_out", connections=len(connections))
    except Exception:
        _logger.exception("drain_failed")
    await wait(lambda: not any(connection.buffered for connection in connections), _STRAGGLER_SECONDS)
    for connection in list(connections):
        if connection.buffered:
            connection.abort()
    loop.call_later(_STRAGGLER_SECONDS, _abort_all, connections)


def _abort_all(connections: set[Connection]) -> None:
    for connection in list(connections):
        connection.abort()


def _calm_collector() -> None:
    """Look at old objects seldom: a connection is a dozen that stay, and when it ends, none of them is garbage.

    A collection holds up everybody: of all objects of 20,000 WebSockets for 70 ms. With Python's thresholds half of a
    connect went into them. Those of the young, here every 2,000 objects, took 1.5 ms at most while 20,000 connected;
    every 10,000 objects it was 14, at the same cost.

    Called before the service listens: at first its queue has a few places, and who finds it full waits for a second.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(2000, 2, 100)
