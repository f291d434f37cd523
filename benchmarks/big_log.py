"""Ingest while the log grows: `python -m benchmarks.big_log [events]`, on each database.

Creates in batches of 1,000, each with addresses of its own, one client. What is slower at the end than at the beginning
is slower by the log's size.
"""

import asyncio
import json
import statistics
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Final

from benchmarks.contenders import post
from benchmarks.databases import on_each
from benchmarks.single_writes import Serving, cpu
from tests.support.data import address, created

BATCH: Final = 1000
WINDOW: Final = 40
"""Batches that are measured together."""


@dataclass(frozen=True)
class Window:
    """What some batches took: events/s, microseconds of CPU an event, and the seconds of the slowest batch."""

    rate: float
    spent: float
    slowest: float


async def grow(server: Serving, events: int) -> AsyncIterator[Window]:
    """Create so many, a window at a time."""
    for first in range(0, events // BATCH, WINDOW):
        seconds = slowest = 0.0
        before = cpu(server)
        for batch in range(first, first + WINDOW):
            body = json.dumps({"events": [_created(batch, number) for number in range(BATCH)]}).encode()
            begun = time.perf_counter()
            answer = await post(server.port, "/api/events", body)
            took = time.perf_counter() - begun
            seconds, slowest = seconds + took, max(slowest, took)
            assert b'"accepted":1000' in answer, answer[-300:]
        count = WINDOW * BATCH
        yield Window(count / seconds, (cpu(server) - before) / count * 1e6, slowest)


async def measure(server: Serving, events: int) -> dict[str, float]:
    """Return how fast it was at the beginning, and how fast in the second half: a checkpoint may meet any window."""
    windows = [window async for window in grow(server, events)]
    first = windows[0].rate
    later = statistics.median(window.rate for window in windows[len(windows) // 2 :])
    return {
        "creates/s, empty": first,
        f"creates/s, {events // 2:,} to {events:,} events": later,
        "x, the second of the first": later / first,
        "slowest batch ms": max(window.slowest for window in windows) * 1000,
    }


def _created(batch: int, number: int) -> dict[str, Any]:
    return created(sender=address(f"s{batch} {number}"), recipient=address(f"r{batch} {number}"))


async def show(name: str, server: Serving, events: int) -> None:
    """Print a line for each window."""
    first, size = 0.0, 0
    async for window in grow(server, events):
        first = first or window.rate
        size += WINDOW * BATCH
        print(
            f"{name}: up to {size:,}: {window.rate:,.0f}/s ({window.rate / first:.2f}x),"
            f" {window.spent:.0f} us of CPU an event, slowest batch {window.slowest * 1000:.0f} ms",
            flush=True,
        )


def main() -> None:
    """Measure SQLite, and PostgreSQL if it is here."""
    events = int(sys.argv[1]) if len(sys.argv) > 1 else 400_000
    for name, server in on_each(fsync=True):
        asyncio.run(show(name, server, events))


if __name__ == "__main__":
    main()
