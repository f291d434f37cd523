"""A long run under everything that clients do wrong: `make torture`, or `python -m benchmarks.torture --minutes 10`.

Writers write all the time. Some clients follow and move between the transports with their cursor; others come and go in
sixteen ways, most of them bad. In the last fifth the service is restarted again and again. At the end what the
followers got is held against the log, and memory and open files against their beginning.
"""

import argparse
import asyncio
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import httpx
import psutil

from tests.support.data import created
from tests.support.hopper import FLAWLESS, Hopper, judge
from tests.support.raw import CLOSE, PING, TEXT, frame, get, upgrade
from tests.support.server import KEY, Server

FOLLOWERS: Final = 40
LEAVERS: Final = 12
BATCH: Final = 20
PAUSE_SECONDS: Final = 0.1
SAMPLE_SECONDS: Final = 5.0
RESTARTED: Final = 0.2
GROWTH: Final = 1.1
FILES: Final = 20

# What a client sends before it leaves; those that begin with a handshake go on behind it.
WAYS: Final[dict[str, bytes]] = {
    "says nothing": b"",
    "half a request": get("/sse/streams")[:20],
    "a request and gone": get("/sse/streams"),
    "a handshake and gone": upgrade(),
    "another protocol": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "garbage": bytes(range(256)),
    "HTTP/1.0": b"GET /sse/streams HTTP/1.0\r\n\r\n",
    "a bad cursor": get("/sse/streams?lastEventId=nonsense"),
    "an old version": upgrade().replace(b"Version: 13", b"Version: 8"),
    "a body that never ends": b"POST /api/events HTTP/1.1\r\nHost: x\r\nContent-Length: 999\r\n\r\n{",
    "a close frame": upgrade() + frame(CLOSE, b"\x03\xe8"),
    "unmasked": upgrade() + frame(TEXT, b"{}", masked=False),
    "an unknown opcode": upgrade() + frame(11, b"x"),
    "too large": upgrade() + frame(TEXT, b"x" * 8192),
    "too many": upgrade() + frame(TEXT, b'{"type":"ping"}') * 30,
    "pings, unread": upgrade() + frame(PING, b"x" * 100) * 50,
}


@dataclass
class Run:
    """What is counted."""

    written: int = 0
    left: dict[str, int] = field(default_factory=lambda: dict.fromkeys(WAYS, 0))
    memory: list[float] = field(default_factory=list)
    files: list[int] = field(default_factory=list)
    restarts: int = 0


async def write(server: Server, run: Run) -> None:
    """Write for ever; what is refused during a restart is written again."""
    async with httpx.AsyncClient(headers={"Authorization": f"Bearer {KEY}"}, timeout=30) as http:
        while True:
            batch = {"events": [created() for _ in range(BATCH)]}
            done = False
            while not done:
                with suppress(httpx.HTTPError):
                    answer = await http.post(f"{server.base}/api/events", json=batch)
                    done = answer.status_code == httpx.codes.OK
                await asyncio.sleep(PAUSE_SECONDS)
            run.written += BATCH


async def leave(server: Server, run: Run) -> None:
    """Come and go in a way of its own, each time."""
    while True:
        name, sent = random.choice(list(WAYS.items()))
        with suppress(OSError, TimeoutError):
            async with asyncio.timeout(5):
                reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
                try:
                    writer.write(sent)
                    if random.random() < 0.5:  # the others never read
                        await reader.read(4096)
                    await asyncio.sleep(random.uniform(0, 0.3))
                finally:
                    # One half says goodbye, the other is torn off.
                    (writer.close if random.random() < 0.5 else writer.transport.abort)()
            run.left[name] += 1


async def sample(server: Server, run: Run) -> None:
    """Look at the process every few seconds."""
    while True:
        await asyncio.sleep(SAMPLE_SECONDS)
        process = psutil.Process(server.process.pid if server.process else 0)
        run.memory.append(process.memory_info().rss / 2**20)
        run.files.append(process.num_fds())


async def restart(server: Server, run: Run, until: float) -> None:
    """Restart until then."""
    while time.monotonic() < until:
        await asyncio.to_thread(server.restart)
        run.restarts += 1
        await asyncio.sleep(5)


async def log_of(server: Server, after: str) -> list[int]:
    """All sequence numbers after a cursor."""
    found: list[int] = []
    async with httpx.AsyncClient(base_url=server.base, timeout=30) as http:
        while page := (await http.get("/api/events", params={"after": after, "limit": 1000})).json()["events"]:
            found += [int(event["id"].rpartition("-")[2]) for event in page]
            after = page[-1]["id"]
    return found


async def torture(server: Server, minutes: float) -> bool:
    """Run, print what was seen, and tell whether all is well."""
    run, began = Run(), time.monotonic()
    cursor = httpx.get(f"{server.base}/health").json()["log"]["head"]
    hoppers = [Hopper([server], cursor, stay=(2, 30)) for _ in range(FOLLOWERS)]
    following = [asyncio.create_task(hopper.run()) for hopper in hoppers]
    others = [asyncio.create_task(leave(server, run)) for _ in range(LEAVERS)]
    writing, sampling = asyncio.create_task(write(server, run)), asyncio.create_task(sample(server, run))
    await asyncio.sleep(minutes * 60 * (1 - RESTARTED))
    sampling.cancel()
    await restart(server, run, began + minutes * 60)
    for task in (writing, *others):
        task.cancel()
    await asyncio.gather(writing, *others, return_exceptions=True)
    log = await log_of(server, cursor)
    with suppress(TimeoutError):
        async with asyncio.timeout(60):
            while any(not each.got or each.got[-1] < log[-1] for each in hoppers):
                await asyncio.sleep(0.1)
    for task in following:
        task.cancel()
    flaws = [verdict for each in hoppers if (verdict := judge(each.got, log)) != FLAWLESS]
    return report(run, hoppers, log, flaws)


def report(run: Run, hoppers: list[Hopper], log: list[int], flaws: Sequence[object]) -> bool:
    """Print the figures."""
    third = max(1, len(run.memory) // 3)
    first, last = statistics.median(run.memory[third : 2 * third]), statistics.median(run.memory[-third:])
    files, files_last = statistics.median(run.files[:third]), statistics.median(run.files[-third:])
    print(f"{len(log):,} events in the log; {sum(run.left.values()):,} clients came and went; {run.restarts} restarts")
    print(f"{len(hoppers)} followers changed transport {sum(each.hops for each in hoppers):,} times; flaws: {flaws}")
    print(f"memory {first:.0f} -> {last:.0f} MiB; open files {files:.0f} -> {files_last:.0f}")
    for name, count in run.left.items():
        print(f"  {count:7,} {name}")
    return not flaws and last <= first * GROWTH and files_last <= files + FILES


def main() -> int:
    """Run on SQLite, or on the database that is given."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--database-url")
    given = parser.parse_args()
    settings = {"database_url": given.database_url} if given.database_url else {}
    with tempfile.TemporaryDirectory(prefix="fluxora-torture-") as folder:
        server = Server(Path(folder), retry_ms=200, ring_events=20_000, **settings).start()
        try:
            well = asyncio.run(torture(server, given.minutes))
        finally:
            server.stop()
    print("all is well" if well else "NOT WELL")
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
