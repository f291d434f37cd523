"""The database goes away and comes back: no committed event is lost, nobody has to reconnect, writers are told."""

import asyncio
import os
import random
import signal
import sqlite3
import time
from contextlib import suppress

import asyncpg
import httpx
import pytest

from app.core.errors import Unavailable
from app.core.filter import EventFilter
from app.store.address import dialect_for, parse_database_url
from app.store.event_log import SqlEventLog
from app.store.schema import opened
from tests.conftest import api_of, skip_or_fail
from tests.support.data import new_stream
from tests.support.feeds import FeedClient, follow
from tests.support.postgres import Cluster, find_binaries
from tests.support.server import Server, prepare


@pytest.fixture
def own_cluster():
    """A cluster of the test's own: it will be killed."""
    binaries = find_binaries()
    if binaries is None:
        skip_or_fail("PostgreSQL's server binaries are not installed")
    cluster = Cluster(binaries)
    cluster.start()
    yield cluster
    cluster.remove()


@pytest.fixture
def faulty_server(own_cluster, tmp_path):
    server = Server(tmp_path, database_url=own_cluster.create_database("feed"), database_timeout=3, poll_interval=0.3)
    server.start()
    yield server
    server.kill()


class Writers:
    """Writes until stopped; counts what was answered."""

    def __init__(self, api: httpx.AsyncClient) -> None:
        self.api = api
        self.answers: dict[int, int] = {}
        self.slowest = 0.0
        self.stopped = False

    async def write(self) -> None:
        while not self.stopped:
            begun = time.monotonic()
            answer = await self.api.post("/api/streams", json=new_stream())
            self.slowest = max(self.slowest, time.monotonic() - begun)
            self.answers[answer.status_code] = self.answers.get(answer.status_code, 0) + 1
            if answer.status_code != 201:
                assert answer.status_code == 503, answer.text
                assert int(answer.headers["Retry-After"]) > 0
                await asyncio.sleep(0.05)

    async def __aenter__(self) -> "Writers":
        self.tasks = [asyncio.create_task(self.write()) for _ in range(8)]
        return self

    async def __aexit__(self, *_: object) -> None:
        self.stopped = True
        await asyncio.gather(*self.tasks)


async def committed(url: str) -> list[int]:
    connection = await asyncpg.connect(url)
    rows = await connection.fetch("SELECT id FROM stream_events ORDER BY id")
    await connection.close()
    return [row["id"] for row in rows]


async def check(server: Server, clients: list[FeedClient]) -> None:
    """Every committed event was delivered exactly once and in order, including those whose answer was lost."""
    ids = await committed(str(server.settings["database_url"]))
    for client in clients:
        await client.until(lambda c=client: c.events and int(c.events[-1]["id"].split("-")[1]) >= ids[-1])
        assert [int(event["id"].split("-")[1]) for event in client.events] == ids
        assert not client.ended.is_set()


async def test_killed_under_load_and_back(own_cluster, faulty_server):
    async with (
        follow(faulty_server, "websocket") as one,
        follow(faulty_server, "sse") as two,
        api_of(faulty_server) as api,
    ):
        async with Writers(api) as writers:
            await one.count(100)
            await asyncio.to_thread(own_cluster.kill)
            for client in (one, two):
                degraded = await client.message("service.degraded")
                assert degraded["source"] == "database"
            assert (await api.get("/health")).json()["status"] == "degraded"
            assert (await api.get("/health/ready")).status_code == 503
            assert (await api.get("/health/live")).status_code == 200
            assert (await api.post("/api/streams", json=new_stream())).status_code == 503
            before = len(one.events)
            await asyncio.to_thread(own_cluster.start)
            for client in (one, two):
                await client.message("service.recovered")
            await one.count(before + 100)
        assert writers.answers[503] > 0
        assert writers.slowest < 6
        await check(faulty_server, [one, two])
        assert (await api.get("/health")).json()["status"] == "ok"


async def test_backends_terminated_at_random(own_cluster, faulty_server):
    url = str(faulty_server.settings["database_url"])
    async with (
        follow(faulty_server, "websocket") as one,
        follow(faulty_server, "sse") as two,
        api_of(faulty_server) as api,
    ):
        killer = await asyncpg.connect(own_cluster.url("postgres"))
        async with Writers(api) as writers:
            for step in range(20):
                await one.count(10 * step)
                pids = await killer.fetch("SELECT pid FROM pg_stat_activity WHERE application_name = 'fluxora-streams'")
                if pids:
                    await killer.execute("SELECT pg_terminate_backend($1)", random.choice(pids)["pid"])
        await killer.close()
        assert writers.answers[201] > 100
        assert url
        await check(faulty_server, [one, two])


async def test_a_lock_that_is_held_is_a_503_and_not_a_hang(own_cluster, faulty_server):
    async with api_of(faulty_server) as api, follow(faulty_server, "sse") as client:
        holder = await asyncpg.connect(str(faulty_server.settings["database_url"]))
        for count, table in enumerate(("streams", "stream_events"), start=1):
            transaction = holder.transaction()
            await transaction.start()
            await holder.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
            assert await status_within(7, api.post("/api/streams", json=new_stream())) == 503
            await transaction.rollback()
            assert (await api.post("/api/streams", json=new_stream())).status_code == 201
            await client.count(count)
        await holder.close()
        await check(faulty_server, [client])


async def test_what_another_process_commits_is_delivered_in_order(own_cluster, faulty_server, tmp_path):
    second = Server(
        tmp_path / "second", database_url=faulty_server.settings["database_url"], poll_interval=0.3, migrate=False
    )
    second.cwd.mkdir()
    second.start()
    try:
        async with (
            follow(faulty_server, "websocket") as one,
            follow(second, "sse") as two,
            api_of(faulty_server) as first_api,
            api_of(second) as second_api,
        ):
            async with Writers(first_api), Writers(second_api):
                await one.count(200)
            await check(faulty_server, [one, two])
    finally:
        assert second.stop() == 0


async def test_a_failover_is_another_epoch_and_nobody_has_to_reconnect(own_cluster, faulty_server):
    """The primary dies; a standby takes its place, at first read-only, then promoted."""
    async with (
        follow(faulty_server, "websocket") as one,
        follow(faulty_server, "sse") as two,
        api_of(faulty_server) as api,
    ):
        await api.post("/api/streams", json=new_stream())
        before = (await one.count(1))[0]["id"]
        await two.count(1)
        await asyncio.to_thread(own_cluster.kill)
        (own_cluster.data / "standby.signal").touch()
        await asyncio.to_thread(own_cluster.start)
        for client in (one, two):
            await client.message("service.degraded")
        answer = await api.post("/api/streams", json=new_stream())
        assert (answer.status_code, int(answer.headers["Retry-After"]) > 0) == (503, True)
        assert await asyncio.to_thread(own_cluster.sql, "SELECT pg_promote()") == "True"
        for client in (one, two):
            reset = await client.message("feed.reset")
            assert reset["reason"] == "epoch"
            assert reset["cursor"].split("-")[0] != before.split("-")[0]
        assert (await api.post("/api/streams", json=new_stream())).status_code == 201
        for client in (one, two):
            after = (await client.count(2))[1]["id"]
            assert after.split("-")[0] == reset["cursor"].split("-")[0]
        stale = await api.get("/api/events", params={"after": before})
        assert (stale.status_code, stale.json()["reason"]) == (410, "epoch")


async def status_within(seconds: float, request) -> int:
    begun = time.monotonic()
    answer = await request
    assert time.monotonic() - begun < seconds
    assert answer.status_code != 503 or int(answer.headers["Retry-After"]) > 0
    return answer.status_code


@pytest.mark.parametrize("who", ["backends", "everybody"])
async def test_a_database_that_hangs_is_a_503_and_not_a_hang(own_cluster, faulty_server, who):
    """Its connections stay open and say nothing, as behind a network that swallows packets."""
    async with (
        follow(faulty_server, "websocket") as one,
        follow(faulty_server, "sse") as two,
        api_of(faulty_server) as api,
    ):
        assert (await api.post("/api/streams", json=new_stream())).status_code == 201
        rows = "SELECT string_agg(pid::text, ' ') FROM pg_stat_activity WHERE application_name = 'fluxora-streams'"
        pids = [int(pid) for pid in (await asyncio.to_thread(own_cluster.sql, rows)).split()]
        if who == "everybody":
            pids.append(own_cluster.process.pid)
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            requests = [api.post("/api/streams", json=new_stream()) for _ in range(3)] + [api.get("/api/streams")]
            statuses = set(await asyncio.gather(*(status_within(8, request) for request in requests)))
            # New connections may be made while only the old ones hang.
            assert statuses == {503} if who == "everybody" else statuses <= {200, 201, 503}
            if who == "everybody":
                for client in (one, two):
                    await client.message("service.degraded")
            assert (await api.get("/health/live")).status_code == 200
        finally:
            for pid in pids:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)
        async with asyncio.timeout(20):
            while (await api.post("/api/streams", json=new_stream())).status_code != 201:
                pass
            while (await api.get("/health")).json()["status"] != "ok":
                pass
        await check(faulty_server, [one, two])


@pytest.fixture
def locked(tmp_path):
    """An SQLite service, and a function that locks its file as another process would."""
    server = Server(tmp_path, database_url=f"sqlite:///{tmp_path}/x.db", database_timeout=0.3, poll_interval=0.2)
    server.start()
    holder = sqlite3.connect(tmp_path / "x.db", isolation_level=None)
    yield server, holder
    holder.close()
    server.kill()


async def test_a_file_that_another_process_locks_is_a_503_and_goes_on(locked):
    server, holder = locked
    async with api_of(server) as api, follow(server, "websocket") as one, follow(server, "sse") as two:
        assert (await api.post("/api/streams", json=new_stream())).status_code == 201
        holder.execute("BEGIN IMMEDIATE")
        writes = [status_within(6, api.post("/api/streams", json=new_stream())) for _ in range(5)]
        assert set(await asyncio.gather(*writes)) == {503}
        # Reading goes on: the lock holds only writers up.
        assert len((await api.get("/api/events")).json()["events"]) == 1
        assert (await api.get("/health")).json()["status"] == "ok"
        holder.execute("ROLLBACK")
        assert (await api.post("/api/streams", json=new_stream())).status_code == 201
        for client in (one, two):
            await client.count(2)
        log = (await api.get("/api/events")).json()["events"]
        for client in (one, two):
            assert client.events == log


async def test_what_another_process_writes_into_the_file_is_delivered(locked, tmp_path):
    server, _ = locked
    second = Server(tmp_path, database_url=server.settings["database_url"], poll_interval=0.2, migrate=False).start()
    try:
        async with (
            follow(server, "websocket") as one,
            follow(second, "sse") as two,
            api_of(server) as first_api,
            api_of(second) as second_api,
        ):
            for index in range(20):
                answer = await (first_api, second_api)[index % 2].post("/api/streams", json=new_stream())
                assert answer.status_code == 201
            log = (await first_api.get("/api/events")).json()["events"]
            for client in (one, two):
                await client.count(20)
                assert client.events == log
    finally:
        assert second.stop() == 0


async def test_a_connection_that_cannot_be_given_back_does_not_spoil_the_next_look(own_cluster, tmp_path):
    """The relay looks from one task for ever; a backend may end just when its connection returns to the pool."""
    url = own_cluster.create_database("feed")
    prepare(tmp_path, {"database_url": url})
    dialect = dialect_for(parse_database_url(url), pool_size=2, timeout=3)
    database = dialect.connect()
    log = SqlEventLog(database, dialect)
    async with opened(database):
        before = await log.position()
        for _ in range(5):
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(asyncpg.Connection, "_reset", reset_by_nobody)
                with pytest.raises(Unavailable):
                    await log.position()
                with pytest.raises(Unavailable):
                    await log.read(before.at(0), before.head, EventFilter(), 10)
            assert await log.position() == before
            assert await log.read(before.at(0), before.head, EventFilter(), 10) == []


async def reset_by_nobody(*_: object, **__: object) -> None:
    raise asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation")
