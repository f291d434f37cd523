"""At every moment a client knows a cursor that loses nothing: on both transports, over both ways."""

import asyncio
import json
import re

import httpx
import pytest
import websockets

from tests.conftest import api_of
from tests.support.data import address, created, new_stream, updated
from tests.support.feeds import follow
from tests.support.raw import connections, get, raw, until_connections
from tests.support.server import PlainServer, Server

NOBODY = address("nobody")


@pytest.fixture(scope="module", params=[Server, PlainServer], ids=["straight", "plain"])
def server(request, migrated_database, tmp_path_factory):
    server = request.param(
        tmp_path_factory.mktemp("positions"),
        database_url=migrated_database("sqlite"),
        keepalive_interval=0.3,
        heartbeat_interval=0.5,
        message_rate_limit=1000,
    ).start()
    yield server
    server.stop()


@pytest.fixture
async def api(server):
    async with api_of(server) as client:
        yield client


async def head(api) -> str:
    return (await api.get("/health")).json()["log"]["head"]


async def test_the_first_message_is_the_greeting(server, api, transport):
    async with follow(server, transport, sender=NOBODY) as client:
        opened = await client.told("feed.opened")
    assert set(opened) == {"event", "cursor", "filter", "timestamp"}
    assert (opened["cursor"], opened["filter"]) == (await head(api), {"sender": [NOBODY]})


async def test_who_loses_the_connection_before_any_event_loses_nothing(server, api, transport):
    async with follow(server, transport) as client:
        await client.told("feed.opened")
    missed = (await api.post("/api/streams", json=new_stream())).json()["id"]
    async with follow(server, transport, cursor=client.cursor, client=client) as client:
        await client.count(1)
    assert [event["streamId"] for event in client.events] == [missed]


async def test_a_greeting_names_the_cursor_that_the_client_came_with(server, api, transport):
    start = await head(api)
    await api.post("/api/streams", json=new_stream())
    async with follow(server, transport, cursor=start) as client:
        assert (await client.told("feed.opened"))["cursor"] == start
        await client.count(1)


async def test_a_cursor_that_cannot_be_read_is_null_until_the_reset(server, api, transport):
    async with follow(server, transport, cursor="nonsense") as client:
        assert (await client.told("feed.opened"))["cursor"] is None
        reset = await client.message("feed.reset")
    assert reset["cursor"] == await head(api)
    assert "nonsense" not in client.ids
    assert client.ids[:1] in ([], [reset["cursor"]])


async def test_the_first_bytes_of_sse(server, api):
    async with raw(server, get("/sse/streams")) as client:
        await client.until(b"\r\n\r\n")
        text = unchunked(await client.until(b"\n\n"))
    cursor = (await head(api)).encode()
    assert re.fullmatch(
        rb': connected\nretry: 1000\nevent: feed.opened\ndata: \{"event":"feed.opened",[^\n]*\}\nid: %b\n\n' % cursor,
        text,
    )


def unchunked(data: bytes) -> bytes:
    return re.sub(rb"(?:^|\r\n)[0-9a-f]+\r\n|\r\n$", b"", data)


async def test_no_block_is_without_data_and_the_id_is_last(server, api):
    async with raw(server, get(f"/sse/streams?sender={NOBODY}&recipient={NOBODY}")) as client:
        await client.until(b": connected")
        await api.post("/api/streams", json=new_stream())
        text = await client.until(b"feed.position")
        text += await client.until(b": keepalive\n\n")
        text += await client.until(b": keepalive\n\n")
    async with raw(server, get("/sse/streams?greeting=false&lastEventId=nonsense")) as client:
        await client.until(b"\r\n\r\n")
        await api.post("/api/streams", json=new_stream())
        text += b"\n\n" + await client.until(b"stream.created") + await client.until(b"\n\n")
    blocks = [block for block in re.sub(rb"\r\n[0-9a-f]+\r\n", b"", text).split(b"\n\n") if block.strip()]
    assert len(blocks) > 3
    for block in blocks:
        lines = [line for line in block.split(b"\n") if line and not line.startswith(b":") and b"\r" not in line]
        if not lines:
            continue
        assert sum(line.startswith(b"data: ") for line in lines) == 1, block
        assert all(not line.startswith(b"id:") for line in lines[:-1]), block


async def test_without_a_greeting_every_message_is_an_event(server, api, transport):
    async with follow(server, transport, greeting="false", sender=NOBODY) as client:
        await api.post("/api/streams", json=new_stream())
        event = created(sender=NOBODY)
        await asyncio.sleep(1.2)
        await api.post("/api/events", json={"events": [event]})
        await client.count(1)
    assert client.about == []
    assert len(client.messages) == 1
    if transport == "sse":
        # Where there is no greeting, the first block with data says it.
        assert client.retry == 1000


async def test_a_filter_that_skips_is_told_where_it_is(server, api, transport):
    async with follow(server, transport, sender=NOBODY) as client:
        await api.post("/api/streams", json=new_stream())
        last = await head(api)
        position = await client.told("feed.position")
        assert set(position) == {"event", "cursor"}
        await client.until(lambda: client.cursor == last)
        assert client.messages == []


async def test_pong_and_acknowledgements_name_the_clients_own_position(server, api):
    async with follow(server, "websocket", sender=NOBODY) as client:
        await api.post("/api/streams", json=new_stream())
        last = await head(api)
        async with asyncio.timeout(15):
            while client.cursor != last:
                await client.connection.send('{"type":"ping"}')
                await asyncio.sleep(0.02)
        assert client.messages[-1]["event"] == "pong"
        await client.connection.send('{"type":"subscribe","lastEventId":"nonsense"}')
        told = await client.message("subscribed")
        assert told["cursor"] is None
        assert (await client.message("feed.reset"))["cursor"] == last


async def test_who_says_that_it_will_subscribe_gets_nothing_before(server, api):
    async with follow(server, "websocket", live="false") as client:
        opened = await client.told("feed.opened")
        assert opened["filter"] is None
        await api.post("/api/streams", json=new_stream())
        await client.connection.send('{"type":"ping"}')
        await client.message("pong")
        assert client.events == []
        await client.connection.send('{"type":"subscribe"}')
        assert (await client.message("subscribed"))["cursor"] == opened["cursor"]
        await client.count(1)


async def test_live_is_for_websockets(server):
    async with httpx.AsyncClient(base_url=server.base) as http:
        for query, field in (("live=false", "live"), ("live=no", "live"), ("greeting=1", "greeting")):
            answer = await http.get(f"/sse/streams?{query}")
            assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, field)
    with pytest.raises(websockets.InvalidStatus) as refused:
        await websockets.connect(f"{server.ws}?live=yes")
    assert refused.value.response.status_code == 400


async def test_a_participant_gets_each_event_once(server, api, transport):
    mine = address(f"a wallet {transport}")
    batch = [
        created(sender=mine, recipient=address("other")),
        created(sender=address("other"), recipient=mine),
        created(sender=address("other")),
    ]
    start = await head(api)
    async with follow(server, transport, participant=mine) as live:
        results = (await api.post("/api/events", json={"events": batch})).json()["results"]
        await live.count(2)
        async with follow(server, transport, cursor=start, participant=mine) as replayed:
            await replayed.count(2)
    wanted = [result["id"] for result in results[:2]]
    assert [event["id"] for event in live.events] == [event["id"] for event in replayed.events] == wanted


async def test_several_filters_add_up(server, api):
    one, two, three = (address(f"tab {number}") for number in range(3))
    async with follow(server, "websocket", live="false") as client:

        async def say(**message) -> dict:
            before = len(client.messages)
            await client.connection.send(json.dumps({"type": "subscribe", **message}))
            await client.until(lambda: len(client.messages) > before)
            return client.messages[-1]

        told = await say(filters=[{"sender": one}, {"sender": [two], "event": "stream.created"}])
        assert told["filters"] == [{"sender": [one]}, {"sender": [two], "event": ["stream.created"]}]
        assert "filter" not in told
        told = await say(filter={"participant": three}, add=True)
        assert len(told["filters"]) == 3
        batch = [created(sender=one), created(sender=two, recipient=three), created(), created(sender=three)]
        results = (await api.post("/api/events", json={"events": batch})).json()["results"]
        await client.count(3)
        assert [event["id"] for event in client.events] == [results[index]["id"] for index in (0, 1, 3)]
        told = await say(filters=[{"sender": one}, {"sender": three}], lastEventId=results[0]["id"])
        await client.count(4)
        assert client.events[-1]["id"] == results[3]["id"]
        for wrong in (
            {"filters": []},
            {"filters": {}},
            {"filters": [1]},
            {"filters": [{}], "filter": {}},
            {"filters": [{"sender": one}] * 21},
            {"filters": [{"sendr": one}]},
            {"add": True, "filter": {"sender": two}, "lastEventId": results[0]["id"]},
            {"add": 1},
        ):
            assert (await say(**wrong))["event"] == "error", wrong


async def test_a_wallet_follows_five_hundred_streams(server, api):
    """More than fit in one message: several subscribes add up."""
    events = [created() for _ in range(500)]
    results = (await api.post("/api/events", json={"events": events})).json()["results"]
    mine = [result["streamId"] for result in results]
    async with follow(server, "websocket", live="false") as client:
        for first in range(0, 500, 50):
            wanted = {"type": "subscribe", "filter": {"streamId": mine[first : first + 50]}, "add": True}
            await client.connection.send(json.dumps(wanted))
            # The limit is ten messages in ten seconds: all ten go through.
        await client.until(lambda: sum(each["event"] == "subscribed" for each in client.messages) == 10)
        assert sum(len(each["streamId"]) for each in client.messages[-1]["filters"]) == 500
        others = [created() for _ in range(3)]
        changes = [updated(stream, status="paused") for stream in (mine[0], mine[260], mine[499])]
        mixed = [event for pair in zip(others, changes, strict=True) for event in pair]
        results = (await api.post("/api/events", json={"events": mixed})).json()["results"]
        await client.count(3)
    assert [event["id"] for event in client.events] == [result["id"] for result in results[1::2]]


async def test_a_head_request_needs_a_place_and_keeps_none(make_server):
    server = make_server(max_connections=1)
    async with httpx.AsyncClient(base_url=server.base) as http:
        for _ in range(3):
            assert (await http.head("/sse/streams")).status_code == 200
        await until_connections(server, 0, 0)
        async with follow(server, "sse"):
            assert await connections(server) == (0, 1)
            assert (await http.head("/sse/streams")).status_code == 503
