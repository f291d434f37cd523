"""Serving, in one process or in several."""

import asyncio
import multiprocessing
import os
import platform
import secrets
import signal
import sys
from collections.abc import Callable
from multiprocessing.connection import Connection

import structlog
from hypercorn.config import Sockets
from pydantic import SecretStr

from app import __version__, logs
from app.bootstrap import Application
from app.core.errors import FluxoraError
from app.server.fair_loop import fair_loop
from app.server.group import Group, Place
from app.server.launcher import launch
from app.server.resources import RESERVE, raise_open_files
from app.server.sockets import StartError, addresses_of, configured_workers, open_sockets, port_of
from app.server.supervisor import Supervisor
from app.server.systemd import notify
from app.settings import Settings, hash_key
from app.store.tables import SCHEMA_REVISION
from app.welcome import welcome

_logger = structlog.stdlib.get_logger(__name__)


def serve(settings: Settings) -> bool:
    """Serve until SIGTERM or SIGINT; tells whether it ended well. Raises StartError, FluxoraError.

    Without API_KEYS a key for development is made and shown; only its hash is kept.
    """
    key = None if settings.api_keys or settings.exposed else secrets.token_urlsafe(24)
    if key:
        settings = settings.model_copy(update={"api_keys": (SecretStr(hash_key(key)),)})
    count = settings.web_concurrency or configured_workers()
    if count > 1 and settings.on_sqlite:
        message = f"{count} processes need PostgreSQL; on SQLite, set WEB_CONCURRENCY=1"
        raise StartError(message)
    _logger.info(
        "starting",
        version=__version__,
        database="sqlite" if settings.on_sqlite else "postgresql",
        revision=SCHEMA_REVISION,
        python=platform.python_version(),
        settings=settings.differing,
    )
    settings = _within_limits(settings)
    sockets, inherited = open_sockets(settings)
    places, port = addresses_of(sockets), port_of(sockets)

    def announce() -> None:
        notify("READY=1")
        _logger.info("listening", addresses=places, port=port, workers=count)
        if key:
            logs.show(welcome(settings.host, port, key, settings.bind))

    if count == 1:
        _run(Application(settings), sockets, announce, inherited=inherited)
        return True
    return _supervise(settings, (sockets, inherited), count, announce)


def index(settings: Settings) -> None:
    """Read the chain until SIGTERM or SIGINT, and serve nobody. Raises StartError, FluxoraError."""
    if settings.on_sqlite:
        message = "an SQLite file is for one process: there the service itself reads the chain (CHAIN_POLLER=auto)"
        raise StartError(message)
    if not settings.rpc_urls:
        message = "CHAIN_RPC_URLS, CHAIN_CONTRACTS and CHAIN_PASSPHRASE say what is read, and from where"
        raise StartError(message)
    application = Application(settings)

    async def run() -> None:
        stopped = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            asyncio.get_running_loop().add_signal_handler(number, stopped.set)
        async with application.running(indexing=True):
            _logger.info("indexing", contracts=len(settings.contracts), nodes=len(settings.rpc_urls))
            notify("READY=1")
            await stopped.wait()
            await application.services.streams.drain()

    asyncio.run(run())


def _within_limits(settings: Settings) -> Settings:
    """Take no more feeds than there may be open files; the rest is for requests and the database. Raises StartError."""
    files = raise_open_files()
    reserve = RESERVE + settings.database_pool_size
    room = files - reserve
    if room < 1:
        message = f"only {files} files may be open; at least {reserve + 1} are needed: raise the limit (ulimit -n)"
        raise StartError(message)
    if room >= settings.max_connections:
        return settings
    needed = settings.max_connections + reserve
    _logger.warning("too_few_open_files", limit=files, needed=needed, max_connections=room)
    return settings.model_copy(update={"max_connections": room})


def _run(
    application: Application,
    sockets: Sockets,
    announce: Callable[[], None],
    *,
    inherited: bool,
    parent: int | None = None,
) -> None:
    async def run() -> None:
        async with application.running():
            await launch(
                application.quart,
                application.drain,
                application.settings,
                sockets,
                quick=application.quick,
                announce=announce,
                parent=parent,
                crowded=application.crowded,
                inherited=inherited,
            )

    with asyncio.Runner(loop_factory=fair_loop) as runner:
        runner.run(run())


def _supervise(settings: Settings, listening: tuple[Sockets, bool], count: int, announce: Callable[[], None]) -> bool:
    # Forking would copy locks and sockets that other threads and the event loop hold.
    context = multiprocessing.get_context("spawn")
    group = Group(context, count)
    supervisor = Supervisor(context, _work, (settings, listening, group), count=count)
    return supervisor.run(announce, group.clear, settings.shutdown_timeout)


def _work(settings: Settings, listening: tuple[Sockets, bool], group: Group, place: int, report: Connection) -> None:
    """Be one of several processes: the sockets are everybody's, and the supervisor is told when this one serves."""
    logs.configure(settings.log_level, worker=place)
    parent = multiprocessing.parent_process()
    own = Place(group, place, os.getpid())

    def announce() -> None:
        own.report({})
        report.send(None)

    sockets, inherited = listening
    application = Application(settings, own.report, own)
    try:
        _run(application, sockets, announce, inherited=inherited, parent=parent.sentinel if parent else None)
    except (StartError, FluxoraError) as error:
        report.send(str(error))
        sys.exit(1)
