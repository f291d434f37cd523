"""Readers that leave in the middle, and readers that are too many: the pool stays clean and bounded."""

import asyncio
import random
import sqlite3
import threading
import time
from contextlib import closing, suppress
from pathlib import Path

import httpx
import pytest
from sqlalchemy import text

from app.core.cursor import Cursor
from app.core.errors import Unavailable
from app.core.filter import EventFilter
from app.core.ports import StreamQuery
from app.store.readers import readers_of
from tests.support.server import until

ALL = EventFilter()


async def test_readers_that_leave_in_the_middle_spoil_no_snapshot(open_store):
    """12 of them race writers; after each commit, whichever connection is asked shows what was committed."""
    async with open_store() as opened:
        await opened.append(100)
        stopped = asyncio.Event()
        leavers = [asyncio.create_task(leave_again_and_again(opened, stopped)) for _ in range(12)]
        judged = 0
        for _ in range(6):
            appended = await opened.append()
            event = appended.events[0]
            for _ in range(3):
                assert (await opened.log.position()).head >= event.seq
                read = await opened.log.read(appended.after, event.seq, ALL, 10)
                assert [each.seq for each in read] == [event.seq]
                assert await opened.store.get(event.stream_id) is not None
                judged += 1
        stopped.set()
        left = sum(await asyncio.gather(*leavers))
        assert judged == 18
        assert left > 100
        if opened.dialect.name == "sqlite":
            assert_nobody_reads(opened.url)


async def leave_again_and_again(opened, stopped: asyncio.Event) -> int:
    left = 0
    while not stopped.is_set():
        everything = opened.log.read(Cursor("any", 0), 10**9, ALL, 50)
        page = opened.store.page(StreamQuery(limit=50))
        wanted, other = random.sample((everything, page), 2)
        other.close()
        reading = asyncio.create_task(wanted)
        for _ in range(random.randrange(12)):
            await asyncio.sleep(0)
        await asyncio.sleep(random.choice((0, 0.0005, 0.002)))
        left += not reading.done()
        reading.cancel()
        with suppress(asyncio.CancelledError):
            await reading
    return left


def assert_nobody_reads(url: str) -> None:
    """A reader that is left open keeps the write-ahead log from being started anew."""
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)) as database:
        until(lambda: database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0, seconds=3)


async def test_whoever_is_cut_at_any_hop_leaves_no_transaction_in_the_pool(open_store):
    """BEGIN is the worst of them: cut there, it runs on in the thread after the connection was given back."""
    async with open_store() as opened:
        for turns in range(60):
            task = asyncio.create_task(write_and_wait(opened))
            for _ in range(turns % 12):
                await asyncio.sleep(0)
            await asyncio.sleep(turns % 5 * 0.0003)
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
            await opened.append()
        if opened.dialect.name == "sqlite":
            assert_nobody_reads(opened.url)


async def write_and_wait(opened) -> None:
    async with opened.store.transaction() as transaction:
        await transaction.fetch_one(text("SELECT 1"))
        await asyncio.sleep(1)


async def test_a_queue_that_does_not_move_ends_with_an_answer(open_store):
    async with open_store(timeout=0.3) as opened:
        release = asyncio.Event()

        held = asyncio.Semaphore(0)

        async def holding(_connection: object) -> None:
            held.release()
            await release.wait()

        readers = readers_of(opened.database, opened.dialect)
        holders = [asyncio.create_task(readers.run(holding)) for _ in range(opened.dialect.concurrent_readers)]
        for _ in holders:
            await held.acquire()
        begun = time.monotonic()
        with pytest.raises(Unavailable):
            await opened.log.position()
        assert 0.2 < time.monotonic() - begun < 2
        release.set()
        await asyncio.gather(*holders)
        await opened.log.position()


async def test_450_reads_at_once_need_few_connections_and_all_get_an_answer(open_store):
    async with open_store() as opened:
        await opened.append(200)
        before = threading.active_count()
        reads = [asyncio.create_task(opened.store.page(StreamQuery(limit=200))) for _ in range(450)]
        most = 0
        while not all(read.done() for read in reads):
            most = max(most, threading.active_count() - before)
            await asyncio.sleep(0.001)
        assert {len((await read).streams) for read in reads} == {200}
        assert most <= 8


async def test_450_gets_at_once(make_server):
    server = make_server()

    async with httpx.AsyncClient(base_url=server.base, timeout=30, limits=httpx.Limits(max_connections=450)) as api:
        answers = await asyncio.gather(*(api.get("/api/streams") for _ in range(450)))
    assert {answer.status_code for answer in answers} == {200}
    assert threads_of(server.pid) < 30


def threads_of(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/task").iterdir()))
