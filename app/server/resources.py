"""What the system lets a process have: open files, and the sockets that come in."""

import asyncio
import errno
import os
import resource
import socket
import time
from collections.abc import Callable
from typing import Any, Final

import structlog

_MOST_FILES: Final = 1_048_576
"""What Linux lets a limit be, unless it is told otherwise (`fs.nr_open`); "unlimited" is refused."""

RESERVE: Final = 100
"""Open files beside those of feeds: listeners, logs, the database's, and requests such as health checks and writes."""

_SPARE: Final = 20
"""Open files that accepting leaves to what a request needs: a database connection, a file that is served."""

_TELL_SECONDS: Final = 60.0

_logger = structlog.stdlib.get_logger(__name__)


def raise_open_files() -> int:
    """Raise the soft limit of open files to the hard one, and return it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _MOST_FILES if hard == resource.RLIM_INFINITY else hard
    if soft != resource.RLIM_INFINITY and soft < most:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
        except (OSError, ValueError):
            return soft
        return most
    return _MOST_FILES if soft == resource.RLIM_INFINITY else soft


class Listener(socket.socket):
    """A listening socket that takes a connection only when it may: what it does not take waits in the kernel's queue.

    asyncio looks again a second after `accept` has failed for want of a resource; so that is what it is told.
    """

    may_accept: Callable[[], bool] = staticmethod(lambda: True)
    _last = 0
    """The connection taken last. The system hands out the lowest number that is free, so near the limit we look."""

    @classmethod
    def of(cls, listening: socket.socket, may_accept: Callable[[], bool]) -> "Listener":
        """Take a socket over."""
        kind = (listening.family, listening.type, listening.proto)
        own = cls(*kind, fileno=listening.detach())
        own.may_accept = may_accept
        return own

    def accept(self) -> tuple[socket.socket, Any]:
        """Return the next connection. Raises OSError when there is none, or when none may be taken now."""
        most = resource.getrlimit(resource.RLIMIT_NOFILE)[0] - _SPARE
        if self._last + RESERVE >= most and _lowest_free(self.fileno()) >= most:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        if not self.may_accept():
            raise OSError(errno.ENOBUFS, _LEFT)
        taken, peer = super().accept()
        self._last = taken.fileno()
        return taken, peer


def _lowest_free(file: int) -> int:
    """Return the number that the next open file will have; `file` is any that is open."""
    spare = os.dup(file)
    os.close(spare)
    return spare


_LEFT: Final = "left to another process"


class Complaints:
    """The event loop's exception handler: what comes again and again is told once a minute."""

    def __init__(self) -> None:
        """Nothing was told yet."""
        self._told_at = -_TELL_SECONDS
        self._untold = 0

    def __call__(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Take what the loop has to say."""
        error = context.get("exception")
        if not (isinstance(error, OSError) and "accept() out of system resource" in context.get("message", "")):
            # After a pause asyncio listens again, though the socket may be closed by now.
            if not (isinstance(error, ValueError) and "Invalid file descriptor: -1" in str(error)):
                loop.default_exception_handler(context)
            return
        if error.strerror == _LEFT:
            return
        self._untold += 1
        if time.monotonic() - self._told_at >= _TELL_SECONDS:
            _logger.error("accept_paused", reason=error.strerror, times=self._untold)
            self._told_at, self._untold = time.monotonic(), 0
