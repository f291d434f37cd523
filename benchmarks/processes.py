"""`python -m benchmarks.processes`: what several processes on one PostgreSQL cost. Needs PostgreSQL's binaries.

Latency is from the return of the COMMIT in one process to the receipt by a client of another one. The cost of NOTIFY
is measured without the service: the statements of an append alone, by connections that do nothing else.
"""

import argparse
import asyncio
import json
import secrets
import statistics
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import asyncpg
import psutil

from app.core.event import Draft, EventName
from app.core.stream import Stream
from app.store.address import dialect_for, parse_database_url
from app.store.store import SqlStore
from benchmarks.run import build_load
from tests.core.test_stream import STREAM
from tests.support.hopper import FLAWLESS, Hopper, judge
from tests.support.nats import Nats, find_nats
from tests.support.postgres import Cluster, find_binaries
from tests.support.server import Server, prepare

_LOCK = "SELECT pg_advisory_xact_lock(1)"
_NOTIFY = "SELECT pg_advisory_xact_lock(1), pg_notify('bench', 'own')"


class Writer:
    """Commits batches as the service does, and remembers when each COMMIT returned."""

    def __init__(self, url: str) -> None:
        dialect = dialect_for(parse_database_url(url), pool_size=10, timeout=10)
        self.database = dialect.connect()
        self.store = SqlStore(self.database, dialect)
        self.committed: dict[int, float] = {}
        self.count = 0

    async def write(self, size: int) -> None:
        async with self.store.begin() as unit:
            streams = [self._stream() for _ in range(size)]
            await unit.insert(streams)
            drafts = [Draft(EventName.CREATED, each, (), each.created_at) for each in streams]
            appended = await unit.append(drafts)
            await unit.commit()
            now = time.perf_counter()
        self.committed.update((event.seq, now) for event in appended.events)

    def _stream(self) -> Stream:
        self.count += 1
        return replace(STREAM, id=f"stream-{self.count}", version=1)


async def latency(writer: Writer, server: Server, rate: float, size: int, seconds: float) -> str:
    """Write batches of `size` at a steady rate of events, and return how late they came."""
    client = Hopper([server], await _head(server), stay=(1000, 1000))
    following = asyncio.create_task(client.run())
    await asyncio.sleep(0.5)
    writer.committed.clear()
    begun, tasks = time.perf_counter(), []
    for count in range(int(rate * seconds / size)):
        await asyncio.sleep(max(0, begun + count * size / rate - time.perf_counter()))
        tasks.append(asyncio.create_task(writer.write(size)))
    await asyncio.gather(*tasks)
    took = time.perf_counter() - begun
    deadline = time.perf_counter() + 20
    while len(client.got) < len(writer.committed) and time.perf_counter() < deadline:
        await asyncio.sleep(0.02)
    following.cancel()
    assert judge(client.got, sorted(writer.committed)) == FLAWLESS
    late = sorted((client.times[seq] - at) * 1000 for seq, at in writer.committed.items())
    p50, p99 = late[len(late) // 2], late[int(len(late) * 0.99)]
    return f"{rate:,.0f} events/s, {size} a transaction | {len(late) / took:,.0f} | {p50:.1f} | {p99:.1f}"


async def writers(writer: Writer, concurrency: int, seconds: float) -> float:
    """Return transactions/s through so many concurrent writers of one process, an event each."""
    writer.committed.clear()
    end = time.perf_counter() + seconds

    async def work() -> None:
        while time.perf_counter() < end:
            await writer.write(1)

    await asyncio.gather(*(work() for _ in range(concurrency)))
    return len(writer.committed) / seconds


async def appends(url: str, statement: str, listeners: int, seconds: float) -> float:
    """Return transactions/s of 8 connections that lock, insert a row and commit."""
    made = await asyncio.gather(*(asyncpg.connect(url) for _ in range(8 + listeners)))
    for listener in made[8:]:
        await listener.add_listener("bench", lambda *_: None)
    end, counts = time.perf_counter() + seconds, [0] * 8

    async def work(index: int) -> None:
        while time.perf_counter() < end:
            async with made[index].transaction():
                await made[index].execute(statement)
                await made[index].execute("INSERT INTO bench DEFAULT VALUES")
            counts[index] += 1

    await asyncio.gather(*map(work, range(8)))
    await asyncio.gather(*(each.close() for each in made))
    return sum(counts) / seconds


async def fan_out(program: Path, url: str, workers: int) -> float:
    """Return deliveries/s to 1,000 WebSockets of a service with so many workers, in bursts of 100 events."""
    server = Server(Path(tempfile.mkdtemp()), migrate=False, database_url=url, web_concurrency=workers).start()
    writer = Writer(url)
    await writer.database.connect()
    command = [program, server.port, "ws", 1000, 5000, 60, 200, "/ws/streams"]
    load = subprocess.Popen([str(part) for part in command], stdout=subprocess.PIPE, text=True)
    try:
        assert load.stdout
        await asyncio.to_thread(load.stdout.readline)
        for _ in range(50):
            await writer.write(100)
        result = json.loads(await asyncio.to_thread(load.stdout.readline))
        assert not any(result[name] for name in ("missing", "repeated", "inverted", "incomplete", "failed"))
        return result["events"] / result["seconds"]
    finally:
        load.kill()
        load.wait()
        server.kill()
        await writer.database.disconnect()


async def burden(cluster: Cluster, url: str, relay: dict[str, Any], rate: float, seconds: float) -> str:
    """Return what following costs PostgreSQL when four processes do, at a steady rate of one event a transaction."""
    servers = [Server(Path(tempfile.mkdtemp()), migrate=False, database_url=url, **relay).start() for _ in range(4)]
    writer = Writer(url)
    await writer.database.connect()
    connection = await asyncpg.connect(url)
    count = "SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()"
    try:
        await asyncio.sleep(3)
        before, cpu = await connection.fetchval(count), _cpu(cluster)
        begun = time.perf_counter()
        for number in range(int(rate * seconds)):
            await asyncio.sleep(max(0, begun + number / rate - time.perf_counter()))
            await writer.write(1)
        took = time.perf_counter() - begun
        used = _cpu(cluster) - cpu
        await asyncio.sleep(1.5)
        made = await connection.fetchval(count) - before
        events = len(writer.committed)
        return (
            f"{events / took:,.0f} events/s | {made / events:.1f} transactions an event | "
            f"{used / events * 1e6:,.0f} us of PostgreSQL's CPU an event"
        )
    finally:
        await connection.close()
        await writer.database.disconnect()
        for server in servers:
            server.kill()


def _cpu(cluster: Cluster) -> float:
    assert cluster.process
    main = psutil.Process(cluster.process.pid)
    times = [each.cpu_times() for each in [main, *main.children()]]
    # Those of connections that were closed are the main process's.
    ended = main.cpu_times()
    return sum(each.user + each.system for each in times) + ended.children_user + ended.children_system


async def _head(server: Server) -> str:
    connection = await asyncpg.connect(str(server.settings["database_url"]))
    head = await connection.fetchval("SELECT coalesce(max(id), 0) FROM stream_events")
    await connection.close()
    reader, stream = await asyncio.open_connection("127.0.0.1", server.port)
    stream.write(b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    answer = await reader.read()
    stream.close()
    epoch = answer.partition(b'"epoch":"')[2].partition(b'"')[0].decode()
    return f"{epoch}-{head}"


async def latencies(url: str, relay: dict[str, Any], rounds: int, seconds: float) -> None:
    server = Server(Path(tempfile.mkdtemp()), migrate=False, database_url=url, **relay).start()
    writer = Writer(url)
    await writer.database.connect()
    try:
        await asyncio.sleep(2)
        for _ in range(rounds):
            for rate, size in ((20, 1), (500, 5), (2000, 20)):
                print(await latency(writer, server, rate, size, seconds), flush=True)
    finally:
        await writer.database.disconnect()
        server.kill()


async def writing(url: str, rounds: int, seconds: float) -> None:
    writer = Writer(url)
    await writer.database.connect()
    for concurrency in (1, 2, 4, 8, 16, 32):
        figure = await _median([writers(writer, concurrency, seconds / 3) for _ in range(rounds)])
        print(f"{concurrency} writers of one process: {figure:,.0f} events/s", flush=True)
    await writer.database.disconnect()
    connection = await asyncpg.connect(url)
    await connection.execute("CREATE TABLE bench (id bigserial PRIMARY KEY)")
    await connection.close()
    plain = await _median([appends(url, _LOCK, 0, seconds / 3) for _ in range(rounds)])
    print(f"appends without NOTIFY: {plain:,.0f}/s")
    for listeners in (1, 4, 20):
        figure = await _median([appends(url, _NOTIFY, listeners, seconds / 3) for _ in range(rounds)])
        print(f"appends with NOTIFY, {listeners} listeners: {figure:,.0f}/s", flush=True)


async def _median(runs: Sequence) -> float:
    return statistics.median([await run for run in runs])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=6)
    given = parser.parse_args()
    binaries = find_binaries()
    if binaries is None:
        raise SystemExit("PostgreSQL's server binaries are not installed")
    cluster, program = Cluster(binaries, fsync=True), find_nats()
    broker = Nats(program, Path(tempfile.mkdtemp())) if program else None
    relays: dict[str, dict[str, object]] = {"LISTEN": {}}
    try:
        cluster.start()
        if broker:
            broker.start()
            relays["NATS JetStream"] = {"relay_url": broker.url}
        for name, relay in relays.items():
            print(f"## {name}: from the return of COMMIT in one process to the receipt from another\n")
            print("load | events/s | p50 ms | p99 ms")
            asyncio.run(latencies(_database(cluster), relay, given.rounds, given.seconds))
            for _ in range(given.rounds):
                print("four processes follow:", asyncio.run(burden(cluster, _database(cluster), relay, 200, 6)))
        print("\n## Writers, and the cost of NOTIFY\n")
        asyncio.run(writing(_database(cluster), given.rounds, given.seconds))
        print("\n## Workers\n")
        for workers in (1, 2, 4):
            runs = [fan_out(build_load(), _database(cluster), workers) for _ in range(given.rounds)]
            print(f"{workers} workers: {asyncio.run(_median(runs)):,.0f} deliveries/s to 1,000 clients", flush=True)
    finally:
        if broker:
            broker.kill()
        cluster.remove()


def _database(cluster: Cluster) -> str:
    url = cluster.create_database(f"bench_{secrets.token_hex(4)}")
    prepare(Path(tempfile.mkdtemp()), {"database_url": url})
    return url


if __name__ == "__main__":
    main()
