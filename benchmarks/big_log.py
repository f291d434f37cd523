"""Ingest while the log grows: `python -m benchmarks.big_log [events]`, on each database.

Creates in batches of 1,000, each with addresses of its own, one client. What is slower at the end than at the beginning
is slower by the log's size.
"""

import asyncio
import json
import sys
import time
from typing import Any, Final

from benchmarks.contenders import post
from benchmarks.databases import on_each
from benchmarks.single_writes import cpu
from tests.support.data import address, created
from tests.support.server import Server

BATCH: Final = 1000
WINDOW: Final = 40
"""Batches to a line."""


async def measure(name: str, server: Server, events: int) -> None:
    """Print the rate of each window."""
    batch, first = 0, 0.0
    while batch * BATCH < events:
        seconds, spent = 0.0, cpu(server)
        slowest = 0.0
        for _ in range(WINDOW):
            body = json.dumps({"events": [_created(batch, number) for number in range(BATCH)]}).encode()
            batch += 1
            begun = time.perf_counter()
            answer = await post(server.port, "/api/events", body)
            took = time.perf_counter() - begun
            seconds, slowest = seconds + took, max(slowest, took)
            if b'"accepted":1000' not in answer:
                sys.exit(answer[-300:].decode())
        rate, spent = WINDOW * BATCH / seconds, (cpu(server) - spent) / (WINDOW * BATCH) * 1e6
        first = first or rate
        print(
            f"{name}: up to {batch * BATCH:,}: {rate:,.0f}/s ({rate / first:.2f}x), {spent:.0f} us of CPU an event,"
            f" slowest batch {slowest * 1000:.0f} ms",
            flush=True,
        )


def _created(batch: int, number: int) -> dict[str, Any]:
    return created(sender=address(f"s{batch} {number}"), recipient=address(f"r{batch} {number}"))


def main() -> None:
    """Measure SQLite, and PostgreSQL if it is here."""
    events = int(sys.argv[1]) if len(sys.argv) > 1 else 400_000
    for name, server in on_each(fsync=True):
        asyncio.run(measure(name, server, events))


if __name__ == "__main__":
    main()
