"""A file that another one replaces while many read is another history; the write-ahead log is copied beside writers."""

import asyncio
import shutil
import sqlite3

import pytest

from app.store.dialect import Unfit
from app.store.sqlite_checkpoints import Checkpoints
from app.store.sqlite_pool import Pool


def make_log(path) -> None:
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE log_state (token TEXT)")
        database.execute("INSERT INTO log_state VALUES ('lost')")
    database.close()


async def token_from(pool: Pool) -> str:
    connection = await pool.acquire()
    try:
        return await connection.hop(lambda raw: raw.execute("SELECT token FROM log_state").fetchone()[0])
    finally:
        await pool.release(connection)


@pytest.fixture
async def pool(tmp_path):
    make_log(tmp_path / "x.db")
    opened = Pool(str(tmp_path / "x.db"), timeout=5)
    yield opened
    await opened.close()


async def test_who_reads_while_the_file_is_followed_sees_the_other_history(pool, tmp_path):
    assert await token_from(pool) == "lost"
    shutil.copy(tmp_path / "x.db", tmp_path / "backup.db")
    (tmp_path / "backup.db").replace(tmp_path / "x.db")
    first, *others = await asyncio.gather(*(token_from(pool) for _ in range(8)))
    assert first != "lost"
    assert set(others) == {first}


async def test_a_follower_that_is_cancelled_leaves_the_work_to_the_next(pool, tmp_path):
    await token_from(pool)
    shutil.copy(tmp_path / "x.db", tmp_path / "backup.db")
    (tmp_path / "backup.db").replace(tmp_path / "x.db")
    follower, waiter = (asyncio.create_task(token_from(pool)) for _ in range(2))
    await asyncio.sleep(0)
    follower.cancel()
    assert await waiter != "lost"
    with pytest.raises(asyncio.CancelledError):
        await follower


async def write(pool: Pool, rows: int) -> None:
    connection = await pool.acquire()
    try:
        connection.later(lambda raw: raw.execute("BEGIN IMMEDIATE"))
        insert = "INSERT INTO log_state VALUES (hex(randomblob(200)))"
        connection.later(lambda raw: [raw.execute(insert) for _ in range(rows)])
        await connection.commit()
    finally:
        await pool.release(connection)


async def test_what_was_written_is_copied_into_the_file_beside_the_writer(pool, tmp_path):
    file = tmp_path / "x.db"
    size = file.stat().st_size
    await write(pool, 600)
    await pool._checkpoints.close()
    assert file.stat().st_size == size
    await write(pool, 600)
    await pool._checkpoints.close()
    assert file.stat().st_size > size + 1200 * 400
    assert await token_from(pool) == "lost"


async def test_one_copy_at_a_time_and_the_next_when_enough_was_written_again():
    copies, going = [], asyncio.Event()

    async def copy() -> None:
        copies.append(len(copies))
        await going.wait()

    checkpoints = Checkpoints(copy)
    checkpoints.wrote(999)
    await asyncio.sleep(0)
    assert copies == []
    for _ in range(3):
        checkpoints.wrote(1000)
        await asyncio.sleep(0)
    assert copies == [0]
    closing = asyncio.create_task(checkpoints.close())
    await asyncio.sleep(0)
    assert not closing.done()
    going.set()
    await closing
    checkpoints.wrote(1)
    await checkpoints.close()
    assert copies == [0, 1]


async def test_a_copy_that_fails_is_tried_again_and_stops_nobody():
    outcomes = [sqlite3.OperationalError("database or disk is full"), Unfit("the file is gone"), None]

    async def copy() -> None:
        if error := outcomes.pop(0):
            raise error

    checkpoints = Checkpoints(copy)
    for left in (2, 1, 0):
        checkpoints.wrote(1000)
        await checkpoints.close()
        assert len(outcomes) == left


async def test_a_writer_that_is_faster_than_the_disk_waits_until_all_is_copied():
    copies, going = [], asyncio.Event()

    async def copy() -> None:
        await going.wait()
        copies.append(len(copies))

    checkpoints = Checkpoints(copy)
    for _ in range(6):
        checkpoints.wrote(1000)
        await checkpoints.room()
    checkpoints.wrote(1000)
    writer = asyncio.create_task(checkpoints.room())
    for _ in range(10):
        await asyncio.sleep(0)
    assert not writer.done()
    going.set()
    await writer
    # The one under way knew nothing of what came since.
    assert copies == [0, 1]
