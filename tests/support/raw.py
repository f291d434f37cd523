"""Clients that misbehave: plain sockets, read and written byte by byte, with small buffers."""

import asyncio
import base64
import os
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx

from tests.support.server import Server, until

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
_ABORTING = struct.pack("ii", 1, 0)


def frame(opcode: int, payload: bytes = b"", *, fin: bool = True, masked: bool = True, rsv: int = 0) -> bytes:
    """A frame as a client writes it; the mask is all zeros, so that the payload stays readable."""
    first = (0x80 if fin else 0) | rsv << 4 | opcode
    mask_bit = 0x80 if masked else 0
    if len(payload) < 126:
        head = struct.pack("!BB", first, mask_bit | len(payload))
    elif len(payload) < 1 << 16:
        head = struct.pack("!BBH", first, mask_bit | 126, len(payload))
    else:
        head = struct.pack("!BBQ", first, mask_bit | 127, len(payload))
    return head + (bytes(4) if masked else b"") + payload


def get(path: str, **headers: str) -> bytes:
    lines = [f"GET {path} HTTP/1.1", "Host: localhost", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode()


def upgrade(path: str = "/ws/streams", **headers: str) -> bytes:
    key = base64.b64encode(os.urandom(16)).decode()
    fixed = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": key}
    return get(path, **fixed, **headers)


class Raw:
    """A socket that reads only when told to. Small buffers, so that not reading is noticed soon."""

    def __init__(self, receive_buffer: int | None) -> None:
        self.socket = socket.socket()
        self.socket.setblocking(False)
        if receive_buffer is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
            # As on Ethernet; loopback's segments of 64 KiB never fit such a buffer.
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 1448)
        self.unread = b""
        self.response = ""
        self._loop = asyncio.get_running_loop()

    async def connect(self, server: Server) -> None:
        await self._loop.sock_connect(self.socket, ("127.0.0.1", server.port))

    async def send(self, data: bytes, seconds: float = 15) -> None:
        async with asyncio.timeout(seconds):
            await self._loop.sock_sendall(self.socket, data)

    async def receive(self, size: int = 65_536, seconds: float = 15) -> bytes:
        """What has come, b"" at the end; an abort is an end, too."""
        if self.unread:
            taken, self.unread = self.unread[:size], self.unread[size:]
            return taken
        async with asyncio.timeout(seconds):
            try:
                return await self._loop.sock_recv(self.socket, size)
            except ConnectionError:
                return b""

    async def exactly(self, size: int, seconds: float = 15) -> bytes:
        data = b""
        while len(data) < size:
            more = await self.receive(size - len(data), seconds)
            if not more:
                raise EOFError(data)
            data += more
        return data

    async def until(self, end: bytes, seconds: float = 15) -> bytes:
        """Everything up to and including `end`; what came after it is read next."""
        data = b""
        while end not in data:
            more = await self.receive(seconds=seconds)
            if not more:
                raise EOFError(data)
            data += more
        upto = data.index(end) + len(end)
        self.unread = data[upto:] + self.unread
        return data[:upto]

    async def frame(self, seconds: float = 15) -> tuple[int, bytes]:
        first, size = await self.exactly(2, seconds)
        if size == 126:
            (size,) = struct.unpack("!H", await self.exactly(2, seconds))
        elif size == 127:
            (size,) = struct.unpack("!Q", await self.exactly(8, seconds))
        return first & 0x0F, await self.exactly(size, seconds)

    async def close_code(self, seconds: float = 15) -> int | None:
        """Read to the close frame and answer it; None when the connection was cut without one."""
        try:
            while True:
                opcode, payload = await self.frame(seconds)
                if opcode == CLOSE:
                    await self.send(frame(CLOSE, payload[:2]))
                    return struct.unpack("!H", payload[:2])[0]
        except (EOFError, ConnectionError):
            return None

    async def cut(self, seconds: float = 15) -> None:
        """Read until the server has ended the connection."""
        while await self.receive(seconds=seconds):
            pass

    def abort(self) -> None:
        """Vanish with a reset."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ABORTING)
        self.socket.close()


@asynccontextmanager
async def raw(server: Server, request: bytes | None = None, *, receive_buffer: int | None = None) -> AsyncIterator[Raw]:
    """A connection that has sent `request` and not read anything."""
    client = Raw(receive_buffer)
    try:
        await client.connect(server)
        if request is not None:
            await client.send(request)
        yield client
    finally:
        client.socket.close()


@asynccontextmanager
async def raw_websocket(
    server: Server, query: str = "", *, receive_buffer: int | None = None, **headers: str
) -> AsyncIterator[Raw]:
    """A WebSocket whose handshake is done, and that is not greeted; `response` has its head."""
    async with raw(
        server, upgrade(f"/ws/streams?greeting=false&{query}", **headers), receive_buffer=receive_buffer
    ) as client:
        client.response = (await client.until(b"\r\n\r\n")).decode()
        assert client.response.startswith("HTTP/1.1 101"), client.response
        yield client


def assert_no_failure(server: Server) -> None:
    """Nothing a client does is the service's error: no traceback, no warning of the event loop."""
    for line in server.lines:
        assert line.get("level") not in ("error", "critical"), line
        assert "exception" not in line, line
        assert "Traceback" not in line["event"], line
        assert "never retrieved" not in line["event"], line
        assert "socket.send() raised" not in line["event"], line


async def connections(server: Server) -> tuple[int, int]:
    async with httpx.AsyncClient() as http:
        health = (await http.get(f"{server.base}/health")).json()
    return health["wsConnections"], health["sseConnections"]


async def until_connections(server: Server, *counts: int, seconds: float = 15) -> None:
    async with asyncio.timeout(seconds):
        while await connections(server) != counts:
            await asyncio.sleep(0.01)


def sockets(server: Server) -> list[int]:
    """The connections that the service holds: how many bytes of each the peer has not taken from the kernel."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    listening, local, nobody = "0A", f":{server.port:04X}", "0"
    held = [row for row in rows if row[1].endswith(local) and row[3] != listening and row[9] != nobody]
    return sorted(int(row[4].split(":")[0], 16) for row in held)


def until_left(server: Server) -> None:
    """Until the service holds no connection any more."""
    until(lambda: not sockets(server))
