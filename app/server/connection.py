"""The connection behind a request: what ASGI does not show of it, and a way to take it away from Hypercorn.

The ASGI `state` of every request has a `Connection` under `connection`; other servers, and test clients, offer none.
"""

import asyncio
import fcntl
import sys
import termios
from collections.abc import Callable
from typing import Final, Protocol

WRITE_MARK: Final = 64 * 1024
"""Above it, the connection is full; it has room again at a quarter of it."""

_READ_BYTES: Final = 4096
"""What is read from a detached connection at once: a client's messages are small, and each byte may be a frame."""

_INTEGER: Final = bytes(4)
_read_buffer: Final = memoryview(bytearray(_READ_BYTES))


class Receiver(Protocol):
    """Whom a detached connection tells what happens."""

    def received(self, data: bytes) -> None:
        """Take bytes from the peer."""

    def writable(self) -> None:
        """Hear that the connection is full no more."""

    def lost(self) -> None:
        """Hear that it has ended; nothing follows."""


class Connection(asyncio.BufferedProtocol):
    """One TCP connection: Hypercorn's, until it is detached.

    A detached connection costs no task, no stream and no parser: what is left is its socket and its receiver.
    """

    __slots__ = (
        "_now",
        "_paused",
        "_reader",
        "_receiver",
        "_transport",
        "_writer",
        "finished",
        "last_read",
        "on_lost",
        "written",
    )

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, now: Callable[[], float]) -> None:
        """`now` is the event loop's time."""
        self._reader: asyncio.StreamReader | None = reader
        self._writer: asyncio.StreamWriter | None = writer
        self._transport = writer.transport
        self._receiver: Receiver | None = None
        self._paused = False
        self._now = now
        self.finished = False
        self.last_read = now()
        self.written = 0
        self.on_lost: Callable[[Connection], None] | None = None

    @property
    def detached(self) -> bool:
        """Whether Hypercorn has no part in it any more."""
        return self._reader is None

    @property
    def buffered(self) -> int:
        """Bytes that were written and that the kernel has not taken."""
        return self._transport.get_write_buffer_size()

    @property
    def outstanding(self) -> int:
        """Bytes that were written and that the peer has not acknowledged."""
        sent = self._transport.get_extra_info("socket")
        if sent is None or self._transport.is_closing():
            return self.buffered
        unacknowledged = fcntl.ioctl(sent.fileno(), termios.TIOCOUTQ, _INTEGER)
        return self.buffered + int.from_bytes(unacknowledged, sys.byteorder)

    @property
    def closing(self) -> bool:
        """Whether it has ended, whatever was read of it before."""
        return self._transport.is_closing()

    @property
    def left(self) -> bool:
        """Whether the peer sends no more."""
        # `at_eof` would wait for what is read from the socket and not handled yet.
        return self.closing or (self._reader is not None and bool(self._reader._eof))  # type: ignore[attr-defined]

    @property
    def full(self) -> bool:
        """Whether nothing more should be written now, or ever."""
        return self._paused or self.finished or self._transport.is_closing()

    def heard(self) -> None:
        """Note that bytes came from the peer."""
        self.last_read = self._now()

    def write(self, data: bytes) -> bool:
        """Write; False when the connection is full now. Nothing is written any more once it is `finished`."""
        if self.finished or self._transport.is_closing():
            return False
        self.written += len(data)
        self._transport.write(data)
        return not self._paused

    def detach(self, receiver: Receiver) -> None:
        """Take the connection away from Hypercorn, which writes nothing after this, and whose tasks for it end."""
        reader, writer, transport = self._reader, self._writer, self._transport
        assert reader is not None
        assert writer is not None
        self._receiver, self._reader, self._writer = receiver, None, None
        writer._transport = _GONE  # type: ignore[attr-defined] # it would close its transport when it is collected
        if transport.is_closing():
            asyncio.get_running_loop().call_soon(self.connection_lost, None)
            return
        unread: bytearray = reader._buffer  # type: ignore[attr-defined]
        transport.set_protocol(self)
        transport.set_write_buffer_limits(WRITE_MARK)
        self._paused = transport.get_write_buffer_size() > WRITE_MARK
        if unread:
            receiver.received(bytes(unread))
            unread.clear()
        if reader._eof:  # type: ignore[attr-defined]
            transport.close()
        else:
            transport.resume_reading()  # type: ignore[attr-defined]

    def pause_reading(self) -> None:
        """Leave what comes to the kernel, and then to the peer."""
        self._transport.pause_reading()  # type: ignore[attr-defined]

    def resume_reading(self) -> None:
        """Read on."""
        self._transport.resume_reading()  # type: ignore[attr-defined]

    def finish(self) -> None:
        """End what is sent, but read on, so that the peer gets all of it: unread bytes would reset the connection."""
        self.finished = True
        if self._transport.can_write_eof():
            self._transport.write_eof()
        else:
            self._transport.close()

    def close(self) -> None:
        """End the connection once what is buffered is sent."""
        self.finished = True
        self._transport.close()

    def abort(self) -> None:
        """End the connection at once, whatever is buffered: a peer that does not read would never let it close."""
        self._transport.abort()

    def get_buffer(self, sizehint: int) -> memoryview:
        """Return where to read to: one buffer for all, for it is used up at once."""
        del sizehint
        return _read_buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Take what was read."""
        self.last_read = self._now()
        if self._receiver is not None:
            self._receiver.received(bytes(_read_buffer[:nbytes]))

    def pause_writing(self) -> None:
        """Hear from the transport that its buffer is over the mark."""
        self._paused = True

    def resume_writing(self) -> None:
        """Hear from the transport that it is well below."""
        self._paused = False
        if self._receiver is not None:
            self._receiver.writable()

    def connection_lost(self, exc: Exception | None) -> None:
        """Hear from the transport that it has ended."""
        del exc
        receiver, self._receiver = self._receiver, None
        if self.on_lost is not None:
            self.on_lost(self)
        if receiver is not None:
            receiver.lost()


class _Gone:
    def is_closing(self) -> bool:
        return True


_GONE: Final = _Gone()
