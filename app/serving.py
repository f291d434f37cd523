"""Serving, in one process or in several."""

import asyncio
import multiprocessing
import os
import secrets
import sys
from collections.abc import Callable
from functools import partial
from multiprocessing.connection import Connection

import structlog
from hypercorn.config import Sockets
from pydantic import SecretStr

from app import logs
from app.bootstrap import Application
from app.core.errors import FluxoraError
from app.server.group import Group
from app.server.launcher import launch
from app.server.sockets import StartError, configured_workers, open_sockets, port_of
from app.server.supervisor import Supervisor
from app.settings import Settings, hash_key
from app.welcome import welcome

_logger = structlog.stdlib.get_logger(__name__)


def serve(settings: Settings) -> bool:
    """Serve until SIGTERM or SIGINT; tells whether it ended well. Raises StartError, FluxoraError.

    Without API_KEYS a key is made and shown; only its hash is kept.
    """
    key = None if settings.api_keys else secrets.token_urlsafe(24)
    if key:
        settings = settings.model_copy(update={"api_keys": (SecretStr(hash_key(key)),)})
    count = settings.web_concurrency or configured_workers()
    if count > 1 and settings.on_sqlite:
        message = f"{count} processes need PostgreSQL; on SQLite, set WEB_CONCURRENCY=1"
        raise StartError(message)
    sockets = open_sockets(settings)

    def announce() -> None:
        port = port_of(sockets)
        _logger.info("listening", host=settings.host, port=port, workers=count)
        if key:
            logs.show(welcome(settings.host, port, key))

    if count == 1:
        _run(Application(settings), sockets, announce)
        return True
    return _supervise(settings, sockets, count, announce)


def _run(application: Application, sockets: Sockets, announce: Callable[[], None], parent: int | None = None) -> None:
    async def run() -> None:
        async with application.running():
            await launch(
                application.quart, application.drain, application.settings, sockets, announce=announce, parent=parent
            )

    asyncio.run(run())


def _supervise(settings: Settings, sockets: Sockets, count: int, announce: Callable[[], None]) -> bool:
    # Forking would copy locks and sockets that other threads and the event loop hold.
    context = multiprocessing.get_context("spawn")
    group = Group(context, count)
    supervisor = Supervisor(context, _work, (settings, sockets, group), count=count)
    return supervisor.run(announce, group.clear, settings.shutdown_timeout)


def _work(settings: Settings, sockets: Sockets, group: Group, place: int, report: Connection) -> None:
    """Be one of several processes: the sockets are everybody's, and the supervisor is told when this one serves."""
    logs.configure(settings.log_level, worker=place)
    parent = multiprocessing.parent_process()
    count = partial(group.write, place, os.getpid())

    def announce() -> None:
        count({})
        report.send(None)

    try:
        _run(Application(settings, count, group), sockets, announce, parent.sentinel if parent else None)
    except (StartError, FluxoraError) as error:
        report.send(str(error))
        sys.exit(1)
