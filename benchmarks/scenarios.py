"""What is measured of a contender, each in a process of its own, fresh for every round."""

import asyncio
import json
import os
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.contenders import Contender, Fluxora
from tests.support.data import created, stream_id, updated

CLIENTS_CPU = {1}
CONNECTING = 200


@dataclass
class Measured:
    """Figures of one run; `wrong` counts events that were missing, repeated or inverted, and clients that failed."""

    figures: dict[str, float] = field(default_factory=dict)
    wrong: int = 0


class Load:
    """The load generator, connected."""

    def __init__(
        self,
        program: Path,
        server: Contender,
        transport: str,
        clients: int,
        events: int,
        path: str | None = None,
        seconds: float = 60,
        at_once: int = CONNECTING,
    ):
        self.server, self.clients = server, clients
        memory, cpu = server.memory(), server.cpu()
        target = path or server.paths[transport]
        command = [program, server.port, transport, clients, events, seconds, at_once, target]
        self.process = subprocess.Popen([str(part) for part in command], stdout=subprocess.PIPE, text=True)
        os.sched_setaffinity(self.process.pid, CLIENTS_CPU)
        assert self.process.stdout
        line = self.process.stdout.readline().split()
        if not line:
            raise RuntimeError(f"the load generator ended: {self.process.wait()}")
        self.connects = clients / float(line[1])
        self.connect_cpu = (server.cpu() - cpu) / clients * 1e6
        self.memory = (server.memory() - memory) / clients / 1024

    async def result(self) -> dict[str, Any]:
        assert self.process.stdout
        line = await asyncio.to_thread(self.process.stdout.readline)
        await asyncio.to_thread(self.process.wait)
        return json.loads(line)

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


def wrong(result: dict[str, Any]) -> int:
    return sum(result[name] for name in ("missing", "repeated", "inverted", "incomplete", "failed"))


async def bursts(program: Path, server: Contender, transport: str, events: int) -> Measured:
    """1,000 clients, bursts of 100 events, as fast as it goes."""
    load = Load(program, server, transport, 1000, events)
    try:
        cpu = server.cpu()
        for _ in range(events // 100):
            await server.publish(100)
        result = await load.result()
        used = server.cpu() - cpu
    finally:
        load.stop()
    figures = {
        "deliveries/s": result["events"] / max(result["seconds"], 1e-3),
        "CPU us/delivery": used / max(result["events"], 1) * 1e6,
        "KiB/connection": load.memory,
        "connects/s": load.connects,
        "CPU us/connect": load.connect_cpu,
    }
    return Measured(figures, wrong(result))


async def publish_at(server: Contender, rate: float, total: int) -> None:
    """Publish one event at a time, each when it is due, whether or not those before are answered (an open loop).

    A server that stalls is given in one go what fell due meanwhile; one that waited for answers would be spared it.
    """
    order = asyncio.Lock()  # the peers' messages are numbered here

    async def one() -> None:
        async with order:
            await server.publish(1)

    begun, publishing = time.monotonic(), []
    for count in range(total):
        await asyncio.sleep(max(0, begun + count / rate - time.monotonic()))
        publishing.append(asyncio.create_task(one()))
    await asyncio.gather(*publishing)


async def paced(
    program: Path, server: Contender, transport: str, clients: int, rate: float, seconds: float
) -> Measured:
    """Many clients, one event at a time at a set rate."""
    total = int(rate * seconds)
    load = Load(program, server, transport, clients, total)
    try:
        cpu = server.cpu()
        await publish_at(server, rate, total)
        result = await load.result()
        used = server.cpu() - cpu
    finally:
        load.stop()
    figures = {
        "CPU us/delivery": used / max(result["events"], 1) * 1e6,
        "p50 ms": result["p50"],
        "p99 ms": result["p99"],
        "KiB/connection": load.memory,
        "connects/s": load.connects,
    }
    return Measured(figures, wrong(result))


async def storm(program: Path, server: Contender, newcomers: int) -> Measured:
    """Thousands come back at once, and leave at once, while 1,000 clients are sent 20 events a second."""
    total, rate = 240, 20.0
    load = Load(program, server, "ws", 1000, total)
    figures: dict[str, float] = {}

    def come_and_go() -> None:
        crowd = Load(program, server, "ws", newcomers, 0, at_once=newcomers)
        figures["all in, s"] = newcomers / crowd.connects
        crowd.stop()

    try:
        publishing = asyncio.create_task(publish_at(server, rate, total))
        await asyncio.sleep(1)
        await asyncio.to_thread(come_and_go)
        await publishing
        result = await load.result()
    finally:
        load.stop()
    figures |= {"p50 ms": result["p50"], "p99 ms": result["p99"], "longest ms": result["max"]}
    return Measured(figures, wrong(result))


async def filtered(program: Path, server: Fluxora, transport: str, clients: int) -> Measured:
    """Every client follows a stream of its own; every stream changes five times."""
    hashes = [f"{index:064x}" for index in range(clients)]
    rows = [created(transactionHash=each) for each in hashes]
    for start in range(0, clients, 1000):
        await server.ingest(rows[start : start + 1000])
    path = server.paths[transport] + "?streamId=stream-%064x-0"
    load = Load(program, server, transport, clients, 5, path)
    try:
        cpu = server.cpu()
        for change in range(1, 6):
            for start in range(0, clients, 1000):
                await server.ingest(
                    [updated(stream_id(row), streamedAmount=str(change)) for row in rows[start : start + 1000]]
                )
        result = await load.result()
        used = server.cpu() - cpu
    finally:
        load.stop()
    figures = {
        "CPU us/delivery": used / max(result["events"], 1) * 1e6,
        "deliveries/s": result["events"] / max(result["seconds"], 1e-3),
        "p99 ms": result["p99"],
    }
    return Measured(figures, wrong(result))


async def resume(program: Path, server: Fluxora, transport: str) -> Measured:
    """1,000 clients come back, each with 1,000 events missed."""
    await server.publish(1)
    first = (await _get(server.port, "/api/events?limit=1"))["cursor"]
    await server.publish(1000)
    cpu = server.cpu()
    load = Load(program, server, transport, 1000, 1000, f"{server.paths[transport]}?lastEventId={first}")
    try:
        result = await load.result()
        used = server.cpu() - cpu
    finally:
        load.stop()
    figures = {
        "events/s": result["events"] / max(result["seconds"], 1e-3),
        "CPU us/event": used / max(result["events"], 1) * 1e6,
    }
    return Measured(figures, wrong(result))


async def requests_under_load(program: Path, server: Fluxora, clients: int) -> Measured:
    """REST requests while 10,000 sockets are sent 100 events a second."""
    load = Load(program, server, "ws", clients, 0, seconds=14)
    publishing = asyncio.create_task(publish_at(server, 100, 1000))
    times = []
    try:
        end = time.monotonic() + 10
        while time.monotonic() < end:
            begun = time.perf_counter()
            await _get(server.port, "/api/streams?limit=1")
            times.append((time.perf_counter() - begun) * 1000)
            await asyncio.sleep(0.02)
        await publishing
        result = await load.result()
    finally:
        load.stop()
    times.sort()
    figures = {
        "GET p50 ms": times[len(times) // 2],
        "GET p99 ms": times[int(len(times) * 0.99)],
        "deliveries/s": result["events"] / max(result["seconds"], 1e-3),
        "receipt p99 ms": result["p99"],
    }
    return Measured(figures, sum(result[name] for name in ("missing", "repeated", "inverted", "failed")))


async def _get(port: int, path: str) -> dict[str, Any]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    answer = await reader.read()
    writer.close()
    return json.loads(answer.partition(b"\r\n\r\n")[2])
