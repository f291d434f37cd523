"""Pruning deletes what no setting keeps, and says so to who asks for it."""

import sqlite3

import httpx
import pytest

from tests.conftest import api_of
from tests.support.data import created, new_stream
from tests.support.feeds import TRANSPORTS, follow
from tests.support.server import until


async def fill(server, count: int) -> list[str]:
    async with api_of(server) as api:
        answer = await api.post("/api/events", json={"events": [created() for _ in range(count)]})
        return [result["id"] for result in answer.json()["results"]]


def log_of(server) -> list[str]:
    return [event["id"] for event in httpx.get(f"{server.base}/api/events?limit=1000").json()["events"]]


@pytest.fixture
def pruning(make_server, backend):
    def make(**settings: object):
        return make_server(backend=backend, prune_interval=0.2, ring_events=1, **settings)

    return make


async def test_keeps_the_newest_by_count(pruning):
    server = pruning(retention_seconds=0, retention_events=5)
    ids = await fill(server, 40)
    until(lambda: log_of(server) == ids[-5:])
    server.restart()  # what is in memory can still be served
    assert await reason_at(server, ids[2]) == "pruned"
    for transport in TRANSPORTS:
        async with follow(server, transport, cursor=ids[2]) as client:
            reset = await client.message("feed.reset")
            assert (reset["reason"], reset["cursor"]) == ("pruned", ids[-1])
        async with follow(server, transport, cursor=ids[-5]) as client:
            await client.count(4)
            assert [event["id"] for event in client.events] == ids[-4:]


async def test_what_age_keeps_is_not_pruned_by_count(make_server):
    server = make_server(prune_interval=0.2, ring_events=1, retention_seconds=3600, retention_events=1)
    ids = await fill(server, 30)
    path = server.settings["database_url"].removeprefix("sqlite:///")
    for _ in range(2):
        # A round prunes the log first, then the idempotency keys: this one tells that a round is over.
        with sqlite3.connect(path, timeout=20) as database:
            database.execute("INSERT INTO idempotency_keys VALUES ('old', '', '', '2000-01-01T00:00:00.000Z')")
        until(lambda: not sqlite3.connect(path).execute("SELECT key FROM idempotency_keys").fetchall())
    assert log_of(server) == ids


async def test_only_what_is_too_old_and_too_many_goes(make_server):
    server = make_server(prune_interval=0.2, ring_events=1, retention_seconds=3600, retention_events=5)
    ids = await fill(server, 40)
    path = server.settings["database_url"].removeprefix("sqlite:///")
    seqs = [int(event_id.split("-")[1]) for event_id in ids]
    with sqlite3.connect(path, timeout=20) as database:
        # The 10 oldest are too old; so are 3 of the newest 5, which count keeps.
        for first, last in ((0, 9), (35, 37)):
            database.execute(
                "UPDATE stream_events SET created_at = '2000-01-01T00:00:00.000Z' WHERE id BETWEEN ? AND ?",
                (seqs[first], seqs[last]),
            )
    until(lambda: log_of(server) == ids[10:])
    assert [line["events"] for line in server.logged("pruned")] in ([], [10])
    assert (await reason_at(server, ids[8]), await reason_at(server, ids[9])) == ("pruned", None)
    until(lambda: "fluxora_log_events 30.0" in httpx.get(f"{server.base}/metrics").text)


async def reason_at(server, cursor: str) -> str | None:
    async with api_of(server) as api:
        answer = await api.get("/api/events", params={"after": cursor})
    assert answer.status_code in (200, 410)
    return answer.json().get("reason")


async def test_the_newest_stays_and_ids_are_not_used_again(pruning):
    server = pruning(retention_seconds=0, retention_events=1)
    ids = await fill(server, 10)
    until(lambda: log_of(server) == ids[-1:])
    server.restart()
    async with api_of(server) as api:
        await api.post("/api/streams", json=new_stream())
    newest = log_of(server)[-1]
    assert int(newest.split("-")[1]) > int(ids[-1].split("-")[1])
    assert newest.split("-")[0] == ids[-1].split("-")[0]
