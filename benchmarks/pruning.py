"""How long pruning holds writers up, in a log of 2,000,000 events: `python -m benchmarks.pruning [database URL]`.

Prunes with the default RETENTION_EVENTS while a writer commits again and again, and prints how long each step and each
of the writer's transactions took.
"""

import asyncio
import secrets
import sqlite3
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from unittest.mock import patch

from sqlalchemy import text

from app.core.clock import timestamp, utc_now
from app.core.event import Draft, EventName
from app.store import retention
from app.store.address import dialect_for, parse_database_url
from app.store.migrations import migrate
from app.store.schema import opened
from app.store.store import SqlStore
from tests.store.conftest import new_stream
from tests.support.postgres import Cluster, find_binaries

ROWS = 2_000_000
SECONDS = 30

_COLUMNS = "event, stream_id, version, sender, recipient, body, created_at"
_FILL = {
    "sqlite": f"""
        WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {ROWS})
        INSERT INTO stream_events ({_COLUMNS})
        SELECT 'stream.updated', lower(hex(randomblob(16))), 1, 'G' || hex(randomblob(27)), 'G' || hex(randomblob(27)),
               hex(zeroblob(200)), '2020-01-01T00:00:00.000Z' FROM n""",
    "postgresql": f"""
        INSERT INTO stream_events ({_COLUMNS})
        SELECT 'stream.updated', md5(i::text), 1, 'G' || md5(i::text || 's') || repeat('A', 23),
               'G' || md5(i::text || 'r') || repeat('A', 23), repeat('0', 400), '2020-01-01T00:00:00.000Z'
        FROM generate_series(1, {ROWS}) AS i""",
}


def fill_file(path: str) -> None:
    """Fill an SQLite file without what the service sets for safety."""
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        for pragma in ("cache_size = -600000", "synchronous = OFF"):
            database.execute(f"PRAGMA {pragma}")
        database.execute(_FILL["sqlite"])
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")


async def write(store: SqlStore, took: list[float], stopped: asyncio.Event) -> None:
    """Commit one event after the other, as requests do."""
    while not stopped.is_set():
        now = timestamp(utc_now())
        stream = new_stream(now, name=f"stream-{secrets.token_hex(16)}")
        begun = time.perf_counter()
        async with store.begin() as unit:
            await unit.insert([stream])
            await unit.append([Draft(EventName.CREATED, stream, (), now)])
            await unit.commit()
        took.append(time.perf_counter() - begun)
        await asyncio.sleep(0.002)


def shown(took: list[float]) -> str:
    """Median, 99th percentile and worst, in milliseconds."""
    ordered = sorted(took)
    marks = (ordered[len(ordered) // 2], ordered[len(ordered) * 99 // 100], ordered[-1])
    return f"{len(took):6} | " + " | ".join(f"{mark * 1000:7.2f}" for mark in marks)


async def measure(url: str) -> None:
    """Fill, then write alone, then write while pruning."""
    dialect = dialect_for(parse_database_url(url), pool_size=10, timeout=600)
    database = dialect.connect()
    async with opened(database):
        if dialect.name == "postgresql":
            await database.execute(text(_FILL["postgresql"]))
            await database.execute(text("VACUUM ANALYZE stream_events"))
        else:
            await asyncio.to_thread(fill_file, url.removeprefix("sqlite:///"))
        store = SqlStore(database, dialect)
        held: list[float] = []
        pruner = retention.Retention(store, age=timedelta(0), count=1_000_000, interval=60)
        timed = retention.Pace.measured

        @contextmanager
        def measured(pace: retention.Pace) -> Iterator[None]:
            begun = time.perf_counter()
            with timed(pace):
                yield
            held.append(time.perf_counter() - begun)

        for name, what in (("alone", asyncio.sleep(5)), ("pruning", pruner.prune())):
            took: list[float] = []
            stopped = asyncio.Event()
            writer = asyncio.create_task(write(store, took, stopped))
            begun = time.perf_counter()
            with suppress(TimeoutError), patch.object(retention.Pace, "measured", measured):
                await asyncio.wait_for(what, SECONDS)
            stopped.set()
            await writer
            print(f"{dialect.name:10} | writes, {name:8} | {shown(took)}")
        print(f"{dialect.name:10} | steps            | {shown(held)}")
        position = await store.read(lambda c: c.fetch_val(text("SELECT floor FROM log_state")))
        print(f"{dialect.name:10} | pruned {position} in {time.perf_counter() - begun:.0f} s, step {pruner._pace.size}")


def main() -> None:
    """Measure the database that is named, or one of each kind made for it."""
    print("database   | what             |  count |  median |     p99 |   worst (ms)")
    if len(sys.argv) > 1:
        migrate(sys.argv[1])
        asyncio.run(measure(sys.argv[1]))
        return
    with tempfile.TemporaryDirectory() as directory:
        url = f"sqlite:///{Path(directory) / 'x.db'}"
        migrate(url)
        asyncio.run(measure(url))
    binaries = find_binaries()
    if binaries:
        cluster = Cluster(binaries, fsync=True)
        cluster.start()
        try:
            url = cluster.create_database("pruning")
            migrate(url)
            asyncio.run(measure(url))
        finally:
            cluster.remove()


if __name__ == "__main__":
    main()
