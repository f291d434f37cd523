"""A store on each database, in this process."""

import random
import sqlite3
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, replace
from itertools import count

import asyncpg
import pytest
from databases import Database
from sqlalchemy.dialects.postgresql.asyncpg import dialect as POSTGRESQL  # noqa: N812 - a class
from sqlalchemy.dialects.sqlite import dialect as SQLITE  # noqa: N812 - a class

from app.core.clock import timestamp, utc_now
from app.core.event import Draft, EventName
from app.core.ports import Appended
from app.core.stream import Stream
from app.store.address import dialect_for, parse_database_url
from app.store.dialect import Dialect
from app.store.event_log import SqlEventLog
from app.store.schema import opened
from app.store.store import SqlStore
from tests.core.test_stream import STREAM
from tests.support.server import prepare

_numbers = count(1)


@dataclass
class Opened:
    """A database with a schema, and what reads and writes it."""

    url: str
    database: Database
    dialect: Dialect
    store: SqlStore
    log: SqlEventLog

    async def append(self, size: int = 1) -> Appended:
        """Create streams, one event each."""
        now = timestamp(utc_now())
        streams = [new_stream(now) for _ in range(size)]
        async with self.store.begin() as unit:
            await unit.insert(streams)
            appended = await unit.append([Draft(EventName.CREATED, each, (), now) for each in streams])
            await unit.commit()
        return appended

    async def fill(self, table: str, given: list[dict]) -> None:
        """Insert rows straight through the driver: there are many."""
        names, values = list(given[0]), [tuple(row.values()) for row in given]
        if self.url.startswith("sqlite"):
            marks = ", ".join("?" for _ in names)
            with closing(sqlite3.connect(self.url.removeprefix("sqlite:///"), timeout=20)) as raw, raw:
                raw.executemany(f"INSERT INTO {table} ({', '.join(names)}) VALUES ({marks})", values)
            return
        raw = await asyncpg.connect(self.url)
        await raw.copy_records_to_table(table, records=values, columns=names)
        await raw.close()

    async def plan(self, table: str, query) -> str:
        """Return how a query on a table is done."""
        sqlite = self.url.startswith("sqlite")
        compiled = query.compile(dialect=SQLITE() if sqlite else POSTGRESQL())
        values = [compiled.params[name] for name in compiled.positiontup]
        if sqlite:
            with closing(sqlite3.connect(self.url.removeprefix("sqlite:///"))) as raw:
                return "\n".join(step[3] for step in raw.execute(f"EXPLAIN QUERY PLAN {compiled}", values))
        raw = await asyncpg.connect(self.url)
        try:
            await raw.execute(f"ANALYZE {table}")
            return "\n".join(step[0] for step in await raw.fetch(f"EXPLAIN {compiled}", *values))
        finally:
            await raw.close()


def some(chance: random.Random, values) -> frozenset[str]:
    """Return none of them, or one, or two."""
    return frozenset(chance.sample(list(values), chance.choice([0, 0, 1, 2])))


def new_stream(now: str, name: str | None = None) -> Stream:
    return replace(STREAM, id=name or f"stream-store-{next(_numbers)}", version=1, created_at=now, updated_at=now)


@pytest.fixture
def open_store(backend, new_database, tmp_path):
    """Opens a database of the test's own: `async with open_store() as opened`."""

    @asynccontextmanager
    async def opening(url: str | None = None, *, pool_size: int = 10, timeout: float = 10):
        if url is None:
            url = new_database(backend)
            prepare(tmp_path, {"database_url": url})
        dialect = dialect_for(parse_database_url(url), pool_size=pool_size, timeout=timeout)
        database = dialect.connect()
        async with opened(database):
            yield Opened(url, database, dialect, SqlStore(database, dialect), SqlEventLog(database, dialect))

    return opening
