"""A file that another one replaces while many read: nobody takes the other one for the history that was lost."""

import asyncio
import shutil
import sqlite3

import pytest

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
