"""A store on each database, in this process."""

from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from itertools import count

import pytest
from databases import Database

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
