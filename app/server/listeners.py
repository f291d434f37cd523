"""The sockets that are listened on, from the first connection that is taken to the last."""

import asyncio
import select
import socket
from collections.abc import Callable
from typing import Final

from hypercorn.config import Sockets

from app.server.resources import Listener

_BACKLOG_SECONDS: Final = 0.5
_POLL_SECONDS: Final = 0.02


class Listeners:
    """All listening sockets of a process, as one."""

    def __init__(self, sockets: Sockets, *, may_accept: Callable[[], bool]) -> None:
        """Take them over; whoever knocks while it may not `may_accept` waits in the kernel's queue."""
        for each in (sockets.secure_sockets, sockets.insecure_sockets):
            each[:] = [Listener.of(listening, may_accept) for listening in each]
        self._listening = sockets.secure_sockets + sockets.insecure_sockets

    def open(self, queue: int) -> None:
        """Listen; `queue` connections may wait in the kernel."""
        for each in self._listening:
            each.listen(queue)

    async def close(self, *, shared: bool) -> None:
        """Listen no more: to a client, a refused connection is a reason to come back, and a 502 may be none.

        First who waits in the kernel's queue is taken, for at its end it would be reset. A socket that other processes
        have too is only left to them.
        """
        await wait(lambda: not select.select(self._listening, [], [], 0)[0], _BACKLOG_SECONDS)
        loop = asyncio.get_running_loop()
        for each in self._listening:
            loop.remove_reader(each)
            if not shared:
                each.shutdown(socket.SHUT_RDWR)


async def wait(condition: Callable[[], bool], seconds: float) -> None:
    """Wait until a condition holds that nobody tells of, at most `seconds`."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    while not condition() and loop.time() < deadline:  # noqa: ASYNC110 - the transports tell nobody
        await asyncio.sleep(_POLL_SECONDS)
