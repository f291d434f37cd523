"""`python -m benchmarks.compression`: bytes and CPU of a WebSocket delivery, with and without permessage-deflate.

200 clients read and throw away what comes; events are committed one a batch. Shared: compressed once for all of them.
Own: by Hypercorn's own WebSocket, under its own command, with a compressor for each connection.
"""

import asyncio
import tempfile
import time
from pathlib import Path

import psutil

from tests.conftest import api_of
from tests.support.data import created
from tests.support.raw import upgrade
from tests.support.server import PlainServer, QuietServer

_CLIENTS = 200
_EVENTS = 200
_OFFER = {"Sec-WebSocket-Extensions": "permessage-deflate; client_max_window_bits"}


class Client(asyncio.Protocol):
    def __init__(self, headers: dict[str, str]) -> None:
        self.headers, self.bytes, self.last = headers, 0, 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.write(upgrade(**self.headers))

    def data_received(self, data: bytes) -> None:
        self.bytes, self.last = self.bytes + len(data), time.monotonic()


async def measure(server: QuietServer, headers: dict[str, str]) -> str:
    loop = asyncio.get_running_loop()
    main = psutil.Process(server.pid)
    # Hypercorn's own command works in a child.
    process = max([main, *main.children()], key=lambda each: each.memory_info().rss)
    empty = process.memory_info().rss
    clients = []
    for _ in range(_CLIENTS):
        _, client = await loop.create_connection(lambda: Client(headers), "127.0.0.1", server.port)
        clients.append(client)
    async with api_of(server) as api:
        await api.post("/api/events", json={"events": [created()]})
        await asyncio.sleep(0.5)
        before, cpu = sum(client.bytes for client in clients), sum(process.cpu_times()[:2])
        for _ in range(_EVENTS):
            await api.post("/api/events", json={"events": [created()]})
        while time.monotonic() - max(client.last for client in clients) < 0.5:
            await asyncio.sleep(0.1)
        used = sum(process.cpu_times()[:2]) - cpu
    deliveries = _CLIENTS * _EVENTS
    size = (sum(client.bytes for client in clients) - before) / deliveries
    memory = (process.memory_info().rss - empty) / _CLIENTS / 1024
    return f"{size:.0f} bytes, {used / deliveries * 1e6:.1f} us of CPU a delivery, {memory:.0f} KiB a connection"


Variant = tuple[str, type[QuietServer], dict[str, str]]


def main() -> None:
    variants: tuple[tuple[str, type[QuietServer], dict[str, str]], ...] = (
        ("none", QuietServer, {}),
        ("shared", QuietServer, _OFFER),
        ("own", PlainServer, _OFFER),
    )
    for _ in range(3):
        for name, kind, headers in variants:
            home = Path(tempfile.mkdtemp())
            server = kind(home, database_url=f"sqlite:///{home}/x.db").start()
            try:
                print(f"{name}: {asyncio.run(measure(server, headers))}", flush=True)
            finally:
                server.kill()


if __name__ == "__main__":
    main()
