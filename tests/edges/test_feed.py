"""The feeds on real sockets: both transports, both databases, both ways of writing, through the same tests."""

import asyncio

import httpx
import pytest

from tests.support.data import RECIPIENT, address, created, new_stream, stream_id, updated
from tests.support.feeds import FeedClient, follow
from tests.support.server import PlainServer, Server


@pytest.fixture(
    scope="module",
    params=[
        ("sqlite", Server),
        pytest.param(("postgresql", Server), marks=pytest.mark.postgresql),
        ("sqlite", PlainServer),
    ],
    ids=lambda param: f"{param[0]}-{'straight' if param[1] is Server else 'plain'}",
)
def server(request, migrated_database, tmp_path_factory):
    kind, server_class = request.param
    server = server_class(tmp_path_factory.mktemp("feed"), database_url=migrated_database(kind)).start()
    yield server
    assert server.stop() == 0


async def test_delivers_to_one_client(server, api, transport):
    async with follow(server, transport) as client:
        answer = await api.post("/api/streams", json=new_stream())
        assert answer.status_code == 201
        [event] = await client.count(1)
    assert event["event"] == "stream.created"
    assert event["payload"] == answer.json()
    assert event["streamId"] == answer.json()["id"]
    assert event["version"] == 1


async def test_delivers_to_several_clients_at_once(server, api):
    async with (
        follow(server, "websocket") as one,
        follow(server, "websocket") as two,
        follow(server, "sse") as three,
        follow(server, "sse") as four,
    ):
        for _ in range(3):
            await api.post("/api/streams", json=new_stream())
        clients = (one, two, three, four)
        for client in clients:
            await client.count(3)
        assert len({tuple(client.raw) for client in clients}) == 1


async def test_no_op_without_clients(server, api):
    async with asyncio.timeout(10):  # a client that closed is known to be gone when its reset comes back
        while (health := (await api.get("/health")).json())["wsConnections"] + health["sseConnections"]:
            await asyncio.sleep(0.02)
    answer = await api.post("/api/streams", json=new_stream())
    assert answer.status_code == 201


async def test_resumes_exactly_after_a_cursor_and_across_transports(server, api, transport):
    other = "sse" if transport == "websocket" else "websocket"
    async with follow(server, transport) as client:
        await api.post("/api/streams", json=new_stream())
        await client.count(1)
    missed = [created() for _ in range(25)]
    assert (await api.post("/api/events", json={"events": missed})).json()["accepted"] == 25
    async with follow(server, other, cursor=client.cursor, client=client) as client:
        await client.count(26)
        await api.post("/api/streams", json=new_stream())
        await client.count(27)
    log = (await api.get("/api/events", params={"after": client.events[0]["id"], "limit": 100})).json()
    assert client.events[1:] == log["events"]


@pytest.mark.parametrize("field", ["streamId", "sender", "recipient", "event"])
async def test_filters_choose(server, api, transport, field):
    mine, other = created(sender=address(f"a {field} {transport}")), created(recipient=address("somebody"))
    mine_id = stream_id(mine)
    value = {"streamId": mine_id, "sender": mine["sender"], "recipient": RECIPIENT, "event": "stream.updated"}[field]
    async with follow(server, transport, **{field: value}) as client:
        batch = [mine, other, updated(mine_id, status="paused"), updated(stream_id(other), status="paused")]
        results = (await api.post("/api/events", json={"events": batch})).json()["results"]
        await client.count(2)
    got = [event["id"] for event in client.events]
    wanted = [2, 3] if field == "event" else [0, 2]
    assert got == [results[index]["id"] for index in wanted]


async def test_bytes_are_the_same_on_every_transport(server, api):
    head = (await api.get("/health")).json()["log"]["head"]
    async with follow(server, "websocket") as one, follow(server, "sse") as two:
        results = (await api.post("/api/events", json={"events": [created() for _ in range(5)]})).json()["results"]
        await one.count(5)
        await two.count(5)
    assert one.raw == two.raw
    assert f"[{','.join(one.raw)}]" in (await api.get("/api/events", params={"after": head})).text
    assert [event["id"] for event in one.events] == [result["id"] for result in results]


@pytest.mark.parametrize(
    ("cursor", "reason"), [("nonsense", "malformed"), ("0000000000-5", "epoch"), ("{epoch}-99999999", "future")]
)
async def test_a_cursor_that_cannot_be_served_is_a_reset(server, api, transport, cursor, reason):
    epoch = (await api.get("/health")).json()["log"]["epoch"]
    async with follow(server, transport, cursor=cursor.format(epoch=epoch)) as client:
        reset = await client.message("feed.reset")
        assert reset["reason"] == reason
        assert reset["cursor"].startswith(epoch)
        assert client.cursor == reset["cursor"]
        await api.post("/api/streams", json=new_stream())
        await client.count(1)


async def test_connection_counts_follow_connects_and_disconnects(server, api):
    async def counts() -> tuple[int, int]:
        health = (await api.get("/health")).json()
        return health["wsConnections"], health["sseConnections"]

    async with follow(server, "websocket"), follow(server, "sse"), follow(server, "sse"):
        assert await counts() == (1, 2)
    await FeedClient().until(lambda: True)
    for _ in range(500):
        if await counts() == (0, 0):
            break
    assert await counts() == (0, 0)


async def test_service_degraded_reaches_clients(server, api, transport):
    async with follow(server, transport, sender=address("nobody at all")) as client:
        report = {"source": "stellar-rpc", "reason": "the RPC lags"}
        assert (await api.post("/api/service/degraded", json=report)).status_code == 204
        message = await client.message("service.degraded")
        assert message["reason"] == "the RPC lags"
        assert message["source"] == "stellar-rpc"
        assert (await api.get("/health")).json()["status"] == "degraded"
        async with follow(server, transport) as late:
            await late.message("service.degraded")
        assert (await api.post("/api/service/recovered", json=report)).status_code == 204
        await client.message("service.recovered")
    assert (await api.get("/health")).json()["status"] == "ok"


async def test_an_abrupt_disconnect_does_not_disturb_the_next_broadcast(server, api):
    async with follow(server, "websocket") as staying, follow(server, "websocket") as leaving:
        leaving.connection.transport.abort()
        answer = await api.post("/api/streams", json=new_stream())
        assert answer.status_code == 201
        await staying.count(1)


async def test_load_then_follow_misses_nothing(server, api, transport):
    stream = (await api.post("/api/streams", json=new_stream())).json()
    snapshot = await api.get(f"/api/streams/{stream['id']}")
    await api.patch(f"/api/streams/{stream['id']}", json={"status": "paused"})
    async with follow(server, transport, cursor=snapshot.headers["Last-Event-ID"], streamId=stream["id"]) as client:
        [event] = await client.count(1)
        assert (event["version"], event["changed"]) == (2, ["status"])


async def test_wrong_filters_are_refused_before_the_upgrade(server):
    async with httpx.AsyncClient(base_url=server.base) as http:
        for query, field in (("sender=GABC", "sender"), ("event=stream.eaten", "event"), ("stream=1", "stream")):
            answer = await http.get(f"/sse/streams?{query}")
            assert answer.status_code == 400
            assert answer.headers["content-type"] == "application/problem+json"
            assert answer.json()["errors"][0]["field"] == field
