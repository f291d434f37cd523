"""The end of all feeds: who reads is told at once, and nobody waits for anybody else."""

import asyncio
import json
import re
import sqlite3
import time

import pytest

from app.web.feed.deflate import deflate
from tests.conftest import api_of
from tests.lifecycle.test_shutdown import begun
from tests.support.data import created, new_stream
from tests.support.feeds import follow
from tests.support.raw import CLOSE, CONTINUATION, TEXT, frame, get, raw, raw_websocket, upgrade
from tests.support.server import Server


@pytest.fixture
def server(tmp_path):
    server = Server(
        tmp_path, database_url=f"sqlite:///{tmp_path}/x.db", database_timeout=60, poll_interval=60, shutdown_timeout=8
    ).start()
    yield server
    server.kill()


async def stopped(server: Server, seconds: float) -> int:
    """SIGTERM, the exit code, and that it took no longer."""
    begun = time.monotonic()
    code = await asyncio.to_thread(server.stop)
    took = time.monotonic() - begun
    assert took < seconds, took
    return code


async def test_clients_are_told_while_a_write_hangs(server, tmp_path):
    holder = sqlite3.connect(tmp_path / "x.db", isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    async with follow(server, "websocket") as one, follow(server, "sse") as two, api_of(server) as api:
        write = asyncio.create_task(api.post("/api/streams", json=new_stream()))
        await begun(server, api)
        server.terminate()
        async with asyncio.timeout(3):
            await one.ended.wait()
            await two.ended.wait()
        assert one.close_code == 1012
        closing = two.about[-1]
        assert set(closing) == {"event", "reason", "cursor", "timestamp"}
        assert (closing["event"], closing["cursor"]) == ("feed.closing", two.about[0]["cursor"])
        assert 1000 <= two.retry <= 3000
        assert not write.done()
        holder.execute("ROLLBACK")
        answer = await write
        assert answer.status_code == 201
        assert await asyncio.to_thread(server.wait) == 0
    holder.close()
    server.start()
    for transport, client in (("websocket", one), ("sse", two)):
        async with follow(server, transport, cursor=client.cursor, client=client):
            await client.count(1)
        assert [event["streamId"] for event in client.events] == [answer.json()["id"]]


async def test_nobody_is_taken_any_more_once_every_feed_is_told(server, tmp_path):
    holder = sqlite3.connect(tmp_path / "x.db", isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    async with follow(server, "sse") as client, api_of(server) as api:
        write = asyncio.create_task(api.post("/api/streams", json=new_stream()))
        await begun(server, api)
        server.terminate()
        await client.ended.wait()
        async with asyncio.timeout(5):
            while True:
                try:
                    async with raw(server, get("/health")) as late:
                        await late.cut()
                except ConnectionRefusedError:
                    break
        holder.execute("ROLLBACK")
        assert (await write).status_code == 201
        assert await asyncio.to_thread(server.wait) == 0
    holder.close()


@pytest.mark.parametrize("request_", [get("/sse/streams"), upgrade()], ids=["sse", "websocket"])
async def test_who_does_not_read_is_not_waited_for(server, request_):
    async with (
        raw(server, request_, receive_buffer=4096),
        follow(server, "websocket") as one,
        follow(server, "sse") as two,
        api_of(server) as api,
    ):
        for _ in range(8):
            await api.post("/api/events", json={"events": [created() for _ in range(1000)]})
        await one.count(8000)
        await two.count(8000)
        assert await stopped(server, 4) == 0
        assert (one.close_code, two.about[-1]["event"]) == (1012, "feed.closing")


async def test_who_reads_slowly_but_reads_has_everything(server):
    async with raw(server, get("/sse/streams"), receive_buffer=4096) as slow, api_of(server) as api:
        await api.post("/api/events", json={"events": [created() for _ in range(600)]})
        server.terminate()
        text = b""
        async with asyncio.timeout(20):
            while more := await slow.receive(20_000):
                text += more
                await asyncio.sleep(0.005)
        assert await asyncio.to_thread(server.wait) == 0
    assert text.endswith(b"0\r\n\r\n")
    ids = re.findall(rb'"id":"[^"]*-(\d+)","event"', text)
    closing = json.loads(re.search(rb'data: (\{"event":"feed.closing".*?\})\n', text)[1])
    assert [int(each) for each in ids] == list(range(1, len(ids) + 1))
    assert closing["cursor"].endswith(f"-{len(ids)}")


async def test_a_request_whose_body_has_not_ended_is_told(server):
    head = b"GET /sse/streams HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n123"
    async with raw(server, head) as client:
        await asyncio.sleep(0.3)
        stopping = asyncio.create_task(stopped(server, 2))
        text = await client.until(b"feed.closing")
        assert b" 200 " in text
        await client.until(b"0\r\n\r\n")
        assert await stopping == 0


@pytest.mark.parametrize("cursor", [None, "{head}", "zzz-5", "nonsense"])
async def test_who_comes_while_it_closes_gets_back_what_it_came_with(server, tmp_path, cursor):
    holder = sqlite3.connect(tmp_path / "x.db", isolation_level=None)
    async with api_of(server) as api, api_of(server) as late, follow(server, "sse"):
        for _ in range(2):
            await api.post("/api/streams", json=new_stream())
        head = (await late.get("/health")).json()["log"]["head"]
        holder.execute("BEGIN IMMEDIATE")
        write = asyncio.create_task(api.post("/api/streams", json=new_stream()))
        await begun(server, late)
        server.terminate()
        async with asyncio.timeout(5):
            while (await late.get("/health")).status_code == 200:
                pass
        named = cursor and cursor.format(head=head)
        answer = await late.get("/sse/streams", headers={"Last-Event-ID": named} if named else {})
        holder.execute("ROLLBACK")
        await write
        assert await asyncio.to_thread(server.wait) == 0
    holder.close()
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "text/event-stream")
    expected = {None: head, "{head}": head, "zzz-5": "zzz-5", "nonsense": None}[cursor]
    block = re.fullmatch(r"retry: (\d+)\nevent: feed.closing\ndata: (\{.*\})\n(id: (.*)\n)?\n", answer.text)
    assert 1000 <= int(block[1]) <= 3000
    assert json.loads(block[2])["cursor"] == block[4] == expected


async def test_five_megabytes_after_our_close_frame_hide_it_from_nobody(make_server):
    server = make_server()
    for offer in ({}, {"Sec-WebSocket-Extensions": "permessage-deflate"}):
        async with raw_websocket(server, **offer) as client:
            begun_at = time.monotonic()
            await client.send(frame(TEXT, fin=False))
            for _ in range(20):
                await client.send(frame(CONTINUATION, b"x" * 4096, fin=False) * 64)
            await client.send(frame(CLOSE, b"\x03\xf1"))
            opcode, payload = await client.frame()
            assert (opcode, payload[:2]) == (CLOSE, b"\x03\xf1")
            await client.cut()
            assert time.monotonic() - begun_at < 2


async def test_the_server_ends_tcp_first_on_compressed_connections_too(make_server):
    server = make_server(close_timeout=30)
    async with raw_websocket(server, **{"Sec-WebSocket-Extensions": "permessage-deflate"}) as client:
        await client.send(frame(TEXT, deflate(b"x" * 5000), rsv=4))
        assert await client.close_code() == 1009
        await client.cut(5)
