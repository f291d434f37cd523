"""The connection behind a request: what ASGI does not show of it, and a way to take it away from Hypercorn.

The ASGI `state` of every request has a `Connection` under `connection`; other servers, and test clients, offer none.
"""

import asyncio
import fcntl
import sys
import termios
from collections.abc import Callable
from typing import Final, Protocol

from app.server.gone import GONE
from app.server.receiver import Receiver

WRITE_MARK: Final = 64 * 1024
"""Above it, the connection is full; it has room again at a quarter of it."""

_READ_BYTES: Final = 4096
"""What is read from a detached connection at once: a client's messages are small, and each byte may be a frame."""

_INTEGER: Final = bytes(4)
_read_buffer: Final = memoryview(bytearray(_READ_BYTES))


Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Early(Protocol):
    """What came before the connection was detached, and Hypercorn did not read."""

    buffer: bytearray


class Connection(asyncio.BufferedProtocol):
    """One TCP connection: Hypercorn's or nobody's, until it is detached.

    A detached connection costs no task, no stream and no parser: what is left is its socket and its receiver.
    """

    __slots__ = (
        "_now",
        "_paused",
        "_receiver",
        "_send",
        "_streams",
        "_transport",
        "early",
        "feeds",
        "finished",
        "last_read",
        "on_feed",
        "on_lost",
        "written",
    )

    def __init__(self, transport: asyncio.Transport, now: Callable[[], float], streams: Streams | None = None) -> None:
        """`now` is the event loop's time; `streams` are Hypercorn's. Without them, nobody serves it yet."""
        self._streams = streams
        self._transport = transport
        self._receiver: Receiver | None = None
        self._paused = False
        self._send: Callable[[bytes], int] | None = None
        self._now = now
        self.finished = False
        self.last_read = now()
        self.written = 0
        self.early: Early | None = None
        self.feeds = False
        self.on_feed: Callable[[], None] | None = None
        self.on_lost: Callable[[Connection], None] | None = None

    @property
    def detached(self) -> bool:
        """Whether Hypercorn has no part in it any more."""
        return self._streams is None

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
    def full(self) -> bool:
        """Whether nothing more should be written now, or ever."""
        return self._paused or self.finished or self._transport.is_closing()

    def heard(self) -> None:
        """Note that bytes came from the peer."""
        self.last_read = self._now()

    def write(self, data: bytes) -> bool:
        """Write; False when the connection is full now. Nothing is written any more once it is `finished`."""
        send = self._send
        if send is not None and not self.finished:
            # Nothing waits in the transport, so nothing has to go through it: a microsecond less for each write.
            size = len(data)
            try:
                sent = send(data)
            except OSError:
                sent = 0  # the transport meets the same, and knows what follows
            if sent == size:
                self.written += size
                return True
            self._send = None
            self.written += sent
            data = data[sent:]
        if self.finished or self._transport.is_closing():
            return False
        self.written += len(data)
        self._transport.write(data)
        if self._streams is None and not self._transport.get_write_buffer_size():
            self._send = self._straight()
        return not self._paused

    def _straight(self) -> Callable[[bytes], int] | None:
        """Return what sends to the socket itself; None: TLS lies between, or the connection ends."""
        if self._transport.is_closing() or self._transport.get_extra_info("ssl_object") is not None:
            return None
        given = self._transport.get_extra_info("socket")
        # asyncio's wrapper of the socket has no `send` of its own.
        send: Callable[[bytes], int] | None = getattr(getattr(given, "_sock", None), "send", None)
        return send

    def begin_feed(self) -> None:
        """Note that it carries a feed, which has limits of its own."""
        on_feed, self.on_feed = self.on_feed, None
        self.feeds = True
        if on_feed is not None:
            on_feed()

    def detach(self, receiver: Receiver) -> None:
        """Take the connection away from Hypercorn, which writes nothing after this, and whose tasks for it end."""
        streams, self._streams = self._streams, None
        transport, self._receiver = self._transport, receiver
        self.begin_feed()
        if streams is not None:
            streams[1]._transport = GONE  # type: ignore[attr-defined] # it would close its transport when collected
        if transport.is_closing():
            asyncio.get_running_loop().call_soon(self.connection_lost, None)
            return
        transport.set_protocol(self)
        transport.set_write_buffer_limits(WRITE_MARK)
        self._paused = transport.get_write_buffer_size() > WRITE_MARK
        if streams is not None:
            self._take_over(streams[0], receiver)

    def _take_over(self, reader: asyncio.StreamReader, receiver: Receiver) -> None:
        """Go on reading where Hypercorn ended."""
        early, self.early = self.early, None
        unread = bytes(early.buffer if early else b"") + bytes(reader._buffer)  # type: ignore[attr-defined]
        reader._buffer.clear()  # type: ignore[attr-defined]
        if not reader._eof:  # type: ignore[attr-defined]
            # First, for the receiver may want a pause after what it gets now.
            self._transport.resume_reading()
        if unread:
            receiver.received(unread)
        if reader._eof and not self.eof_received():  # type: ignore[attr-defined]
            self._transport.close()

    def pause_reading(self) -> None:
        """Leave what comes to the kernel, and then to the peer."""
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Read on."""
        self._transport.resume_reading()

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
        self._send = None
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

    def eof_received(self) -> bool:
        """Hear from the transport that the peer sends no more; tell whether to keep the connection."""
        has_half = self._transport.can_write_eof()  # TLS has no half of a connection
        return self._receiver is not None and self._receiver.left() and has_half

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
        self._send = None
        transport, self._transport = self._transport, GONE
        # It holds on to itself by this; asyncio lets it go from Python 3.12 on.
        if hasattr(transport, "_read_ready_cb"):
            transport._read_ready_cb = None
        receiver, self._receiver = self._receiver, None
        if self.on_lost is not None:
            self.on_lost(self)
        if receiver is not None:
            receiver.lost()
