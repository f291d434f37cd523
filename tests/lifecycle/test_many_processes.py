"""Many processes on one PostgreSQL: every client gets every event once, in order, whatever breaks, wherever it hops."""

import asyncio
import random
import time

import asyncpg
import httpx
import pytest

from tests.conftest import api_of
from tests.support.data import created, new_stream, stream_id, updated
from tests.support.feeds import follow
from tests.support.hopper import FLAWLESS, Hopper, judge
from tests.support.postgres import Cluster
from tests.support.processes import Indexers, head, health, logged, sql
from tests.support.proxy import Proxy

pytestmark = pytest.mark.postgresql
EVENTS = 100_000
LISTEN = b'LISTEN "fluxora"'
LOSE_NOTIFICATIONS = """
    DO $outer$ BEGIN
        SET allow_system_table_mods = on;
        IF NOT EXISTS (SELECT FROM pg_proc WHERE proname = 'pg_notify_for_good') THEN
            ALTER FUNCTION pg_catalog.pg_notify(text, text) RENAME TO pg_notify_for_good;
        END IF;
        CREATE OR REPLACE FUNCTION pg_catalog.pg_notify(text, text) RETURNS void LANGUAGE sql AS
        $$ SELECT CASE WHEN random() < {kept} THEN pg_catalog.pg_notify_for_good($1, $2) END $$;
    END $outer$
"""
"""Our transactions name their search path, in which nothing comes before pg_catalog: so it is done in there."""


TERMINATE_ALL = """
    SELECT count(*) FROM (
        SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'fluxora-streams'
    ) AS terminated
"""


@pytest.mark.timeout(150)
async def test_every_fault_while_a_hundred_thousand_events_go_by(own_cluster, start):
    async with Proxy(own_cluster.port) as proxy:
        servers = await start(proxy.port, None, None, None)
        direct, cursor = servers[1], await head(servers[1])
        await sql(direct, LOSE_NOTIFICATIONS.format(kept=1))
        hoppers = [Hopper(servers, cursor) for _ in range(6)]
        following = [asyncio.create_task(hopper.run()) for hopper in hoppers]
        async with Indexers(servers, 8) as indexers:
            await terminate_backends(own_cluster, 15)
            while not proxy.cut(LISTEN):
                await asyncio.sleep(0.05)
            victim = servers[3]
            await asyncio.to_thread(victim.kill)
            await asyncio.sleep(0.5)
            await asyncio.to_thread(victim.start)
            await sql(direct, LOSE_NOTIFICATIONS.format(kept=0.3))
            await asyncio.sleep(1)
            await asyncio.to_thread(own_cluster.stop)
            await asyncio.sleep(0.5)
            await asyncio.to_thread(own_cluster.start)
            while indexers.written < EVENTS:
                await asyncio.sleep(0.05)
        log = [row["id"] for row in await sql(direct, "SELECT id FROM stream_events ORDER BY id")]
        assert len(log) == indexers.written >= EVENTS
        ended = time.monotonic()
        while any(not hopper.got or hopper.got[-1] < log[-1] for hopper in hoppers):
            assert time.monotonic() - ended < 40, [await health(server) for server in servers]
            await asyncio.sleep(0.05)
        print(f"everybody had everything {time.monotonic() - ended:.1f} s after the last write")
        for task in following:
            task.cancel()
        await asyncio.gather(*following, return_exceptions=True)
    assert [judge(hopper.got, log) for hopper in hoppers] == [FLAWLESS] * len(hoppers)
    assert [hopper.resets for hopper in hoppers] == [0] * len(hoppers)
    assert min(hopper.hops for hopper in hoppers) > 5
    assert indexers.failed > 0
    print(f"{len(log)} events, {sum(hopper.hops for hopper in hoppers)} hops, {indexers.failed} writes repeated")


async def terminate_backends(cluster: Cluster, count: int) -> None:
    killer = await asyncpg.connect(cluster.url("postgres"))
    for _ in range(count):
        pids = await killer.fetch("SELECT pid FROM pg_stat_activity WHERE application_name = 'fluxora-streams'")
        if pids:
            await killer.execute("SELECT pg_terminate_backend($1)", random.choice(pids)["pid"])
        await asyncio.sleep(0.1)
    await killer.close()


async def test_the_judge_catches_a_naive_log(own_cluster):
    """Ids from a plain sequence, drawn before the commit, and a tail by `id > last`: what this product does not do."""
    url = own_cluster.create_database("naive")
    tail = await asyncpg.connect(url)
    await tail.execute("CREATE TABLE log (id bigserial PRIMARY KEY)")
    got: list[int] = []
    writing = True

    async def write() -> None:
        connection = await asyncpg.connect(url)
        for _ in range(60):
            async with connection.transaction():
                await connection.execute("INSERT INTO log DEFAULT VALUES")
                await asyncio.sleep(random.uniform(0, 0.01))
        await connection.close()

    async def follow_naively() -> None:
        while True:
            last_look = not writing
            rows = await tail.fetch("SELECT id FROM log WHERE id > $1 ORDER BY id", got[-1] if got else 0)
            got.extend(row["id"] for row in rows)
            if last_look:
                return
            await asyncio.sleep(0.002)

    following = asyncio.create_task(follow_naively())
    await asyncio.gather(*(write() for _ in range(8)))
    writing = False
    await following
    log = [row["id"] for row in await tail.fetch("SELECT id FROM log ORDER BY id")]
    await tail.close()
    assert len(log) == 480
    assert judge(got, log).missing > 0


def test_the_judge_tells_what_is_wrong():
    assert judge([1, 2, 4], [1, 2, 4]) == FLAWLESS
    verdict = judge([1, 4, 2, 2, 9], [1, 2, 3, 4])
    assert (verdict.missing, verdict.repeated, verdict.inverted, verdict.foreign) == (1, 1, 1, 1)


async def test_a_connection_that_was_cut_without_a_word_is_found_out_within_seconds(own_cluster, start):
    async with Proxy(own_cluster.port) as proxy:
        through, direct = await start(proxy.port, None, poll_interval=60)
        await logged(through, "tail_listens", 1, 10)
        async with follow(through, "websocket") as client, api_of(direct) as api:
            await api.post("/api/streams", json=new_stream())
            await client.count(1, seconds=1)
            assert proxy.cut(LISTEN) == 1
            await api.post("/api/streams", json=new_stream())
            assert await logged(through, "tail_listens", 2, 10) < 7
            await client.count(2, seconds=1)
            await api.post("/api/streams", json=new_stream())
            await client.count(3, seconds=1)


async def test_terminated_and_restarted_it_listens_again(own_cluster, start):
    one, other = await start(None, None, poll_interval=60)
    await logged(one, "tail_listens", 1, 10)
    async with follow(one, "sse") as client, api_of(other) as api:
        faults = (lambda: own_cluster.sql(TERMINATE_ALL), lambda: restart(own_cluster))
        for round_, fault in enumerate(faults, start=2):
            await asyncio.to_thread(fault)
            await logged(one, "tail_listens", round_, 10)
            while (await api.post("/api/streams", json=new_stream())).status_code != 201:
                await asyncio.sleep(0.1)
            await client.count(round_ - 1, seconds=1.5)


def restart(cluster: Cluster) -> None:
    cluster.stop()
    cluster.start()


async def test_without_any_notification_the_poll_delivers(own_cluster, start):
    """As through a pooler, where LISTEN works and nothing arrives."""
    one, other = await start(None, None, poll_interval=0.5)
    await sql(one, LOSE_NOTIFICATIONS.format(kept=0))
    for server in (one, other):
        await asyncio.to_thread(server.restart)
    async with follow(one, "websocket") as client, api_of(other) as api:
        for count in range(1, 4):
            await api.post("/api/streams", json=new_stream())
            await client.count(count, seconds=2)
    [event, *_] = await sql(one, "SELECT count(*) AS count FROM stream_events")
    assert event["count"] == len(client.events)


async def test_a_client_that_hops_to_a_process_behind_gets_no_reset(own_cluster, start):
    one, other = await start(None, None, poll_interval=60)
    await sql(one, LOSE_NOTIFICATIONS.format(kept=0))
    await asyncio.to_thread(one.restart)
    async with api_of(one) as api, follow(one, "websocket") as before:
        await api.post("/api/streams", json=new_stream())
        await before.count(1)
        cursor = before.cursor
        assert await head(other) != cursor, "it is not behind"
        begun = time.monotonic()
        async with follow(other, "websocket", cursor) as client:
            while await head(other) != cursor:
                await asyncio.sleep(0.01)
            assert time.monotonic() - begun < 0.8
            async with api_of(other) as other_api:
                await other_api.post("/api/streams", json=new_stream())
            await client.count(1, seconds=2)
            assert [message["event"] for message in client.messages] == ["stream.created"]
        epoch, seq = cursor.split("-")
        async with follow(other, "sse", f"{epoch}-{int(seq) + 1000}") as client:
            assert (await client.message("feed.reset"))["reason"] == "future"


async def test_writers_on_two_processes_do_not_collide(own_cluster, start):
    one, other = await start(None, None)
    async with api_of(one) as first, api_of(other) as second:
        stream = (await first.post("/api/streams", json=new_stream())).json()
        path = f"/api/streams/{stream['id']}"
        for version in range(1, 21):
            change, match = {"streamedAmount": str(version)}, {"If-Match": f'"{version}"'}
            answers = [api.patch(path, json=change, headers=match) for api in (first, second)]
            assert sorted(answer.status_code for answer in await asyncio.gather(*answers)) == [200, 412]
        ends = [first.delete(path), second.patch(path, json={"status": "completed"})]
        assert sorted(answer.status_code for answer in await asyncio.gather(*ends)) == [200, 409]
        await same_streams_in_opposite_order(first, second)
    versions = await sql(one, "SELECT stream_id, array_agg(version ORDER BY id) AS all FROM stream_events GROUP BY 1")
    for row in versions:
        assert row["all"] == list(range(1, len(row["all"]) + 1))
    assert max(len(row["all"]) for row in versions) == 22


async def same_streams_in_opposite_order(first: httpx.AsyncClient, second: httpx.AsyncClient) -> None:
    rows = [created() for _ in range(40)]
    assert (await first.post("/api/events", json={"events": rows})).json()["accepted"] == 40
    for moment in range(10):
        batches = [
            [updated(stream_id(row), endTime=1_800_000_000 + 2 * moment + offset) for row in order]
            for offset, order in enumerate((rows, rows[::-1]))
        ]
        answers = [
            api.post("/api/events", json={"events": batch}) for api, batch in zip((first, second), batches, strict=True)
        ]
        for answer in await asyncio.gather(*answers):
            assert (answer.status_code, answer.json()["accepted"]) == (200, 40), answer.text


async def test_a_process_that_lags_is_not_ready_until_it_has_caught_up(own_cluster, start):
    one, other = await start(None, None, max_log_lag=0.5)
    connection = await asyncpg.connect(str(one.settings["database_url"]))
    async with api_of(one) as api, follow(one, "sse") as client:
        assert (await api.get("/health/ready")).status_code == 200
        async with connection.transaction():
            await connection.execute("LOCK TABLE log_state IN ACCESS EXCLUSIVE MODE")
            while (await api.get("/health/ready")).status_code == 200:
                await asyncio.sleep(0.05)
            health = (await api.get("/health")).json()
            assert (health["status"], health["outages"]) == ("degraded", [])
            assert health["log"]["lagSeconds"] > 0.5
            metrics = (await api.get("/metrics")).text
            assert float(metrics.partition("\nfluxora_log_lag_seconds ")[2].split()[0]) > 0.5
        async with api_of(other) as other_api:
            await other_api.post("/api/streams", json=new_stream())
        [event] = await client.count(1)
        while (await api.get("/health/ready")).status_code == 503:
            await asyncio.sleep(0.05)
        log = (await api.get("/health")).json()["log"]
        assert (log["committed"], log["head"], log["lagEvents"]) == (event["id"], event["id"], 0)
        assert log["lagSeconds"] <= 0.5
    await connection.close()
