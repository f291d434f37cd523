"""Hypercorn's configuration, and the sockets that are listened on."""

import errno
import socket
from pathlib import Path
from typing import Final, Protocol

import structlog
from hypercorn.config import Config, Sockets
from hypercorn.logging import Logger

from app.server.systemd import inherited_sockets

CONFIG_FILE: Final = Path(__file__).parent.parent.parent / "hypercorn.toml"


class StartError(Exception):
    """The service cannot start; `str()` says why, to whoever started it."""


class Limits(Protocol):
    """The settings that are Hypercorn's to keep."""

    host: str
    port: int
    bind: str | None
    max_message_bytes: int
    write_timeout: float
    shutdown_timeout: float


def configured_workers() -> int:
    """Return how many processes hypercorn.toml asks for."""
    return _from_file().workers


def read_config(settings: Limits) -> Config:
    """Return hypercorn.toml's settings and ours, for one process."""
    config = _from_file()
    config.bind = [settings.bind or f"{_shown(settings.host)}:{settings.port}"]
    config.websocket_max_message_size = settings.max_message_bytes
    # With more, Hypercorn would let another service listen on the same port (SO_REUSEPORT).
    config.workers = 1
    config.alpn_protocols = ["http/1.1"]
    config.errorlog = None
    config.logger_class = _QuietLogger
    return config


def open_sockets(settings: Limits) -> tuple[Sockets, bool]:
    """Bind, so that nobody else can; what comes in waits. Raises StartError.

    Sockets that whoever started the service hands over go before HOST, PORT and BIND; the second tells whether it did.
    """
    handed_over = inherited_sockets()
    if handed_over:
        return Sockets([], handed_over, []), True
    try:
        return read_config(settings).create_sockets(), False
    except OSError as error:
        where = settings.bind or f"{_shown(settings.host)}:{settings.port}"
        message = f"cannot listen on {where}: {error.strerror}{_hint(error, settings)}"
        raise StartError(message) from error


def addresses_of(sockets: Sockets) -> list[str]:
    """Return what is listened on, as people write it: `127.0.0.1:8000`, `[::1]:8000`, `unix:/run/feed.sock`."""
    names = [each.getsockname() for each in sockets.secure_sockets + sockets.insecure_sockets]
    return [f"unix:{name}" if isinstance(name, str) else f"{_shown(name[0])}:{name[1]}" for name in names]


def port_of(sockets: Sockets) -> int | None:
    """Return the port, which the kernel chose if 0 was asked for; a Unix socket has none."""
    name = (sockets.secure_sockets + sockets.insecure_sockets)[0].getsockname()
    return None if isinstance(name, str) else int(name[1])


def _shown(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _hint(error: OSError, settings: Limits) -> str:
    if isinstance(error, socket.gaierror):
        return "; HOST must be an address of this machine, such as 127.0.0.1, 0.0.0.0 or ::"
    if settings.bind:
        return "; BIND names a file in a directory that exists and that this user may write to"
    return {
        errno.EADDRINUSE: f"; `ss -ltnp 'sport = :{settings.port}'` shows who has it. Stop that, or set another PORT",
        errno.EACCES: "; this user may not: set PORT to 1024 or more",
        errno.EADDRNOTAVAIL: "; HOST must be an address of this machine, such as 127.0.0.1, 0.0.0.0 or ::",
    }.get(error.errno or 0, "")


def _from_file() -> Config:
    return Config.from_toml(CONFIG_FILE) if CONFIG_FILE.exists() else Config()


class _QuietLogger(Logger):
    """Hypercorn's warnings, in our log. No access log: connections have lines of their own, with reason and time."""

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.error_logger = structlog.stdlib.get_logger("hypercorn")  # type: ignore[assignment]

    async def access(self, *_: object) -> None:
        pass

    async def info(self, *_: object, **__: object) -> None:
        pass
