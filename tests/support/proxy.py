"""A TCP proxy that can swallow what it should forward, without closing anything, as a broken network does."""

import asyncio
from contextlib import suppress


class _Link:
    def __init__(self) -> None:
        self.sent = b""
        self.silent = False
        self.held = b""
        self.gave_head = False


class Proxy:
    """Listens on a free port of loopback while entered; `cut` makes connections silent."""

    def __init__(self, target: int) -> None:
        self.target = target
        self._links: set[_Link] = set()
        self._tasks: set[asyncio.Task] = set()

    async def __aenter__(self) -> "Proxy":
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def cut(self, word: bytes) -> int:
        """Forward nothing more on the connections on which a client has said `word`; tells how many."""
        found = [link for link in self._links if word in link.sent and not link.silent]
        for link in found:
            link.silent = True
        return len(found)

    def _look(self, link: _Link) -> None:
        """See what a client said before it is forwarded; OSError ends the connection."""

    def _given(self, link: _Link, data: bytes) -> bytes:
        """Say what of an answer goes on now."""
        return data

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link = _Link()
        try:
            there, back = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            writer.transport.abort()
            return
        self._links.add(link)
        try:
            pumps = [
                asyncio.create_task(self._pump(link, reader, back, remember=True)),
                asyncio.create_task(self._pump(link, there, writer)),
            ]
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            self._links.discard(link)
            writer.transport.abort()
            back.transport.abort()

    async def _pump(self, link: _Link, reader, writer, *, remember: bool = False) -> None:
        with suppress(OSError):
            while data := await reader.read(1 << 16):
                if remember:
                    link.sent = (link.sent + data)[-10_000:]
                    self._look(link)
                else:
                    data = self._given(link, data)
                if not link.silent:
                    writer.write(data)
                    await writer.drain()


class NoUpgrades(Proxy):
    """One that lets no WebSocket through: it swallows the handshake, or hangs up."""

    def __init__(self, target: int, *, silent: bool) -> None:
        super().__init__(target)
        self.silent = silent
        self.blocking = True
        self.seen = 0

    def _look(self, link: _Link) -> None:
        if not self.blocking or b"upgrade: websocket" not in link.sent.lower() or link.silent:
            return
        self.seen += 1
        if not self.silent:
            raise ConnectionAbortedError
        link.silent = True


class Buffering(NoUpgrades):
    """One that lets no WebSocket through and holds SSE back, as scanners do: all, or all but its head.

    While it blocks; then the next connections are let through.
    """

    def __init__(self, target: int, *, gives_head: bool) -> None:
        super().__init__(target, silent=False)
        self._gives_head = gives_head

    def _given(self, link: _Link, data: bytes) -> bytes:
        if not self.blocking or b"GET /sse/streams" not in link.sent:
            return data
        link.held += data
        head, end, body = link.held.partition(b"\r\n\r\n")
        if not self._gives_head or not end or link.gave_head:
            return b""
        link.gave_head, link.held = True, body
        return head + end
