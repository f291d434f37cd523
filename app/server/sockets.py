"""Hypercorn's configuration, and the sockets that are listened on."""

from pathlib import Path
from typing import Final, Protocol

import structlog
from hypercorn.config import Config, Sockets
from hypercorn.logging import Logger

CONFIG_FILE: Final = Path(__file__).parent.parent.parent / "hypercorn.toml"


class StartError(Exception):
    """The service cannot start; `str()` says why, to whoever started it."""


class Limits(Protocol):
    """The settings that are Hypercorn's to keep."""

    host: str
    port: int
    max_message_bytes: int
    write_timeout: float
    shutdown_timeout: float


def configured_workers() -> int:
    """Return how many processes hypercorn.toml asks for."""
    return _from_file().workers


def read_config(settings: Limits) -> Config:
    """Return hypercorn.toml's settings and ours, for one process."""
    config = _from_file()
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    config.bind = [f"{host}:{settings.port}"]
    config.websocket_max_message_size = settings.max_message_bytes
    # With more, Hypercorn would let another service listen on the same port (SO_REUSEPORT).
    config.workers = 1
    config.alpn_protocols = ["http/1.1"]
    config.errorlog = None
    config.logger_class = _QuietLogger
    return config


def open_sockets(settings: Limits) -> Sockets:
    """Bind, so that nobody else can; what comes in waits. Raises StartError."""
    try:
        return read_config(settings).create_sockets()
    except OSError as error:
        message = f"cannot listen on {settings.host}:{settings.port}: {error.strerror}"
        raise StartError(message) from error


def port_of(sockets: Sockets) -> int:
    """Return the port, which the kernel chose if 0 was asked for."""
    port: int = (sockets.secure_sockets + sockets.insecure_sockets)[0].getsockname()[1]
    return port


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
