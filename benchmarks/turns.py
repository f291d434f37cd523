"""The longest turns of the event loop while tens of thousands are connected: `python -m benchmarks.turns 19800 ws`.

A turn holds up everybody; none should be over 20 ms, whatever is done to all clients at once. The most that one process
can have are its open files (`ulimit -n`) less some 100. The collector's part is told, for it stands in whatever step.
"""

import argparse
import asyncio
import json
import os
import signal
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx

from benchmarks.contenders import Fluxora, post
from benchmarks.run import build_load
from benchmarks.scenarios import CLIENTS_CPU, Load, publish_at
from tests.support.chain import load, raw_item
from tests.support.server import KEY

STALLED_EVENTS = 6000


class Timed(Fluxora):
    """The service, which notes its long turns."""

    def command(self) -> list[str]:
        return [sys.executable, str(Path(__file__).parent / "peers" / "timed_app.py")]

    def environment(self) -> dict[str, str]:
        contract = load("script_lifecycle")["contract"]
        return {**super().environment(), "TURNS": str(self.turns), "CHAIN_CONTRACTS": contract}

    @property
    def turns(self) -> Path:
        return self.home / "turns"

    def told(self, what: str) -> None:
        """Write what was noted since the last time."""
        lines = [json.loads(line) for line in self.turns.read_text(encoding="utf-8").splitlines()]
        self.turns.write_text("", encoding="utf-8")
        longest = max(lines, key=lambda line: line["turn"], default=None)
        own = max((line["turn"] - line["collector"] for line in lines), default=0)
        print(f"{what}: {ms(longest['turn']) if longest else 'below 4'} ms", end="")
        if longest:
            print(f" (CPU {ms(longest['cpu'])}, of it the collector {ms(longest['collector'])};", end="")
            print(f" longest step {ms(longest['step'])}, {longest['who']});", end="")
            print(f" without the collector {ms(own)}; {len(lines)} over 4 ms", end="")
        print(flush=True)


class Crowd:
    """Many clients, of two load generators, for one has no more files than the service."""

    def __init__(self, program: Path, server: Timed, transport: str, clients: int) -> None:
        self.loads = [Load(program, server, transport, clients // 2, 0, seconds=600) for _ in range(2)]

    def signal(self, number: signal.Signals) -> None:
        for each in self.loads:
            each.process.send_signal(number)

    def stop(self) -> None:
        for each in self.loads:
            each.stop()


async def alone(server: Timed) -> None:
    """Wait until nobody is connected."""
    while (found := await health(server))["wsConnections"] + found["sseConnections"]:
        await asyncio.sleep(0.2)


async def health(server: Timed) -> dict[str, Any]:
    async with httpx.AsyncClient() as client:
        return (await client.get(f"http://127.0.0.1:{server.port}/health")).json()


async def live(server: Timed, program: Path, transport: str, clients: int) -> None:
    """What is done to those that are live."""
    crowd = Crowd(program, server, transport, clients)
    try:
        server.told("connects")
        await publish_at(server, 5, 30)
        await asyncio.sleep(2)
        server.told("5 events a second")
        await server.publish(1000)
        await asyncio.sleep(10)
        server.told("1,000 events at once")
        await announce(server)
        await asyncio.sleep(3)
        server.told("an announcement")
        with closing(sqlite3.connect(server.home / "fluxora.db")) as database, database:
            database.execute("UPDATE log_state SET token = 'another'")
        await server.publish(1)
        await asyncio.sleep(8)
        server.told("another epoch")
        async with httpx.AsyncClient(headers={"Authorization": f"Bearer {KEY}"}) as client:
            answer = await client.delete(
                f"http://127.0.0.1:{server.port}/api/connections?principal=anonymous", timeout=30
            )
            assert answer.status_code == 204, answer.text
        await alone(server)
        server.told("all are dismissed")
    finally:
        crowd.stop()


async def stalled(server: Timed, program: Path, transport: str, clients: int) -> None:
    """What those do who do not read, and then do, all at once; they are gone while they still catch up."""
    crowd = Crowd(program, server, transport, clients)
    try:
        server.told("connects again")
        crowd.signal(signal.SIGSTOP)
        for _ in range(STALLED_EVENTS // 1000):
            await server.publish(1000)
        await asyncio.sleep(8)
        server.told("all stall")
        crowd.signal(signal.SIGCONT)
        await asyncio.sleep(8)
        server.told("all read again")
    finally:
        crowd.stop()
    await alone(server)
    server.told("all vanish while they catch up")


async def ended(server: Timed, program: Path, transport: str, clients: int) -> None:
    """The end of the service, while all are live."""
    crowd = Crowd(program, server, transport, clients)
    try:
        server.told("connects once more")
        assert server.process
        server.process.terminate()
        await asyncio.to_thread(server.process.wait, 60)
        server.told("SIGTERM")
    finally:
        crowd.stop()


async def announce(server: Timed) -> None:
    """Have the contract say that it is paused: all clients are told."""
    row = next(row for row in load("script_lifecycle")["events"] if row["name"] == "gl_pause")
    await post(server.port, "/api/events", json.dumps({"events": [raw_item(row)]}).encode())
    assert (await health(server))["status"] == "degraded"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clients", type=int)
    parser.add_argument("transport", choices=("ws", "sse"))
    asked = parser.parse_args()
    program = build_load()
    os.sched_setaffinity(0, CLIENTS_CPU)
    server = Timed()
    server.start()
    asyncio.run(health(server))
    server.told("the start, nobody is connected yet")
    try:
        for part in (live, stalled, ended):
            asyncio.run(part(server, program, asked.transport, asked.clients))
    finally:
        server.stop()


def ms(seconds: float) -> str:
    return f"{seconds * 1000:.1f}"


if __name__ == "__main__":
    main()
