"""One event by one POST, from one client and from 32: `python -m benchmarks.single_writes`, on each database."""

import asyncio
import json
import time
from typing import Final

import psutil

from benchmarks.contenders import Contender
from benchmarks.databases import on_each
from tests.support.data import created
from tests.support.server import KEY, Server

Serving = Server | Contender

SECONDS: Final = 6.0
HEAD: Final = (
    "POST /api/events HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {key}\r\n"
    "Content-Type: application/json\r\nContent-Length: {size}\r\n\r\n"
)


async def client(port: int, until: float, latencies: list[float]) -> None:
    """Post on one kept connection, each time after the answer: a client of a library costs more than the service."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    while time.monotonic() < until:
        body = json.dumps({"events": [created()]}).encode()
        begun = time.monotonic()
        writer.write(HEAD.format(key=KEY, size=len(body)).encode() + body)
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        if b" 200 " not in head[:20]:
            raise RuntimeError(head.decode())
        await reader.readexactly(int(head.split(b"content-length: ")[1].split(b"\r\n")[0]))
        latencies.append(time.monotonic() - begun)
        if b"connection: close" in head:  # after its thousandth request
            writer.close()
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.close()


async def load(server: Serving, clients: int, seconds: float) -> list[float]:
    """Return all latencies, sorted."""
    latencies: list[float] = []
    until = time.monotonic() + seconds
    await asyncio.gather(*(client(server.port, until, latencies) for _ in range(clients)))
    return sorted(latencies)


def cpu(server: Serving) -> float:
    """Return its seconds of CPU."""
    times = psutil.Process(server.process.pid if server.process else 0).cpu_times()
    return times.user + times.system


async def measure(server: Serving, clients: int) -> dict[str, float]:
    """Return the figures of so many clients."""
    await load(server, clients, 1.0)
    before = cpu(server)
    found = await load(server, clients, SECONDS)
    return {
        "writes/s": len(found) / SECONDS,
        "p50 ms": found[len(found) // 2] * 1000,
        "p99 ms": found[int(len(found) * 0.99)] * 1000,
        "CPU ms/write": (cpu(server) - before) / len(found) * 1000,
    }


def main() -> None:
    """Measure SQLite, and PostgreSQL if it is here."""
    for name, server in on_each():
        for clients in (1, 32):
            figures = asyncio.run(measure(server, clients))
            shown = ", ".join(f"{what} {value:,.4g}" for what, value in figures.items())
            print(f"{name}, {clients} clients: {shown}", flush=True)


if __name__ == "__main__":
    main()
