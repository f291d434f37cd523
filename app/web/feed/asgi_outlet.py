"""ASGI's `send` as a connection: for servers that know nothing of us, and for the test client."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator

from app.web.feed.connection import WRITE_MARK, Receiver


class AsgiOutlet:
    """A bounded buffer that one task drains: the handler of the request, which alone may send.

    The server reads, so nothing is received here; what the kernel holds is not known, so `outstanding` is what waits.
    """

    __slots__ = (
        "_closing",
        "_full",
        "_news",
        "_pending",
        "_receiver",
        "_task",
        "buffered",
        "finished",
        "last_read",
        "written",
    )

    def __init__(self) -> None:
        """Start open and empty."""
        self._pending: deque[bytes] = deque()
        self._receiver: Receiver | None = None
        self._news = asyncio.Event()
        self._task: asyncio.Task[object] | None = None
        self._closing = self._full = False
        self.finished = False
        self.last_read = asyncio.get_running_loop().time()
        self.written = 0
        self.buffered = 0

    @property
    def outstanding(self) -> int:
        """Bytes that were not handed to the server."""
        return self.buffered

    @property
    def full(self) -> bool:
        """Whether nothing more should be written now, or ever."""
        return self._full or self.finished

    def detach(self, receiver: Receiver) -> None:
        """Tell this receiver from now on."""
        self._receiver = receiver

    def write(self, data: bytes) -> bool:
        """Have the task send; False when it has enough to do."""
        if self.finished:
            return False
        self._pending.append(data)
        self.written += len(data)
        self.buffered += len(data)
        self._full = self._full or self.buffered > WRITE_MARK
        self._news.set()
        return not self._full

    async def drain(self) -> AsyncIterator[bytes]:
        """Yield what is to be sent until it is closed, one write at a time. Whoever stops iterating calls `ended`."""
        self._task = asyncio.current_task()
        while not (self._closing and not self._pending):
            while self._pending:
                data = self._pending.popleft()
                yield data
                self.buffered -= len(data)
                if self._full and self.buffered <= WRITE_MARK // 4:
                    self._full = False
                    if self._receiver is not None and not self.finished:
                        self._receiver.writable()
            if not self._closing:
                self._news.clear()
                await self._news.wait()
        self._task = None

    def ended(self) -> None:
        """Tell the receiver that nothing can be sent any more."""
        self.finished = True
        self._pending.clear()
        self._task = None
        receiver, self._receiver = self._receiver, None
        if receiver is not None:
            receiver.lost()

    def pause_reading(self) -> None:
        """Do nothing: the server reads."""

    def resume_reading(self) -> None:
        """Do nothing: the server reads."""

    def finish(self) -> None:
        """Send what is buffered, and no more."""
        self.close()

    def close(self) -> None:
        """End it once what is buffered is sent."""
        self.finished = self._closing = True
        self._news.set()

    def abort(self) -> None:
        """End the handler, which may wait in `send` for a client that does not read; its server ends the connection."""
        self.close()
        self._pending.clear()
        if self._task is not None:
            self._task.cancel()
