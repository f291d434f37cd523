"""Every limit of the feeds and of request bodies, as a client on a real socket meets it."""

import asyncio
import json
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack

import httpx
import pytest

from tests.conftest import api_of
from tests.support.data import address, created, new_stream
from tests.support.feeds import follow
from tests.support.raw import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    assert_no_failure,
    connections,
    frame,
    get,
    raw,
    raw_websocket,
    until_connections,
    until_left,
    upgrade,
)
from tests.support.server import KEY, Server

LIMIT = 4096
MEGABYTE = 1 << 20


@pytest.fixture(scope="module")
def server(new_database, tmp_path_factory) -> Iterator[Server]:
    """The defaults, with a message window short enough to wait for."""
    server = Server(
        tmp_path_factory.mktemp("limits"),
        database_url=new_database("sqlite"),
        message_rate_window=1,
        close_timeout=1,
    ).start()
    yield server
    until_left(server)
    assert server.stop() == 0
    assert_no_failure(server)


@pytest.fixture(scope="module")
def restless(new_database, tmp_path_factory) -> Iterator[Server]:
    """Pings and keeps alive often."""
    server = Server(
        tmp_path_factory.mktemp("restless"),
        database_url=new_database("sqlite"),
        heartbeat_interval=0.4,
        keepalive_interval=0.3,
    ).start()
    yield server
    until_left(server)
    assert server.stop() == 0
    assert_no_failure(server)


def text(size: int, letter: str = "x") -> bytes:
    """A ping of the protocol's own, of so many bytes."""
    head, tail = b'{"type":"ping","pad":"', b'"}'
    count, rest = divmod(size - len(head) - len(tail), len(letter.encode()))
    return head + letter.encode() * count + b"y" * rest + tail


# The size of a message, in bytes of UTF-8


@pytest.mark.parametrize("letter", ["x", "é", "€", "😀"])
@pytest.mark.parametrize("pieces", [1, 2, 180])
async def test_a_message_of_just_4_kib_is_taken(server, letter, pieces):
    message = text(LIMIT, letter)
    assert len(message) == LIMIT
    async with raw_websocket(server) as client:
        await client.send(b"".join(fragments(message, pieces)))
        opcode, answer = await client.frame()
        assert (opcode, json.loads(answer)["event"]) == (TEXT, "pong")


@pytest.mark.parametrize("letter", ["x", "é", "€", "😀"])
@pytest.mark.parametrize("pieces", [1, 2, 180])
async def test_one_byte_more_closes_with_1009(server, letter, pieces):
    message = text(LIMIT + 1, letter)
    assert len(message) == LIMIT + 1
    async with raw_websocket(server) as client:
        await client.send(b"".join(fragments(message, pieces)))
        assert await client.close_code() == 1009
        await client.cut()


def fragments(message: bytes, pieces: int) -> list[bytes]:
    """One message in so many frames, cut anywhere, in the middle of characters too."""
    step = -(-len(message) // pieces)
    cuts = [message[start : start + step] for start in range(0, len(message), step)]
    return [frame(CONTINUATION if index else TEXT, cut, fin=index == len(cuts) - 1) for index, cut in enumerate(cuts)]


async def test_a_message_in_hundreds_of_frames_is_taken_in_its_own_time(server):
    async with raw_websocket(server) as client:
        await client.send(b"".join(fragments(text(500), 500)))
        assert (await client.frame())[0] == TEXT


async def test_the_size_of_one_message_does_not_count_for_the_next(server):
    async with raw_websocket(server) as client:
        for _ in range(3):
            await client.send(b"".join(fragments(text(LIMIT), 3)))
            assert (await client.frame())[0] == TEXT


async def test_a_message_without_end_is_closed_as_soon_as_it_is_over(server):
    async with raw_websocket(server) as client:
        await client.send(frame(TEXT, b"x" * 2048, fin=False))
        await client.send(frame(CONTINUATION, b"x" * 2048, fin=False))
        await client.send(frame(PING, b"still here"))
        assert await client.frame() == (PONG, b"still here")
        # The one byte too many, of a frame that announces a gigabyte.
        await client.send(frame(CONTINUATION, fin=False)[:1] + b"\xff" + (1 << 30).to_bytes(8, "big") + bytes(4) + b"x")
        assert await client.close_code() == 1009


async def test_a_message_without_end_in_frames_costs_no_memory_and_ends(server):
    async with raw_websocket(server) as client:
        await client.send(frame(TEXT, fin=False))
        before = server.memory()
        reading = asyncio.create_task(client.frame())
        with pytest.raises(ConnectionError):
            while True:
                await client.send(frame(CONTINUATION, b"x" * 1000, fin=False) * 64)
        opcode, payload = await reading
        assert (opcode, payload[:2]) == (CLOSE, (1009).to_bytes(2, "big"))
    assert server.memory() - before < 8 * MEGABYTE


@pytest.mark.parametrize("opcode", [TEXT, BINARY])
async def test_a_huge_message_costs_no_memory(server, opcode):
    async with raw_websocket(server) as client:
        before = server.memory()
        huge = frame(opcode, b"x" * 10 * MEGABYTE)
        await client.send(huge)
        assert await client.close_code() == 1009
        await client.cut()
    # The socket's own buffers are the kernel's.
    assert server.memory() - before < 8 * MEGABYTE


# How many


async def test_eleven_messages_in_the_window_close_with_1008(server):
    async with raw_websocket(server) as client:
        await client.send(frame(TEXT, b'{"type":"ping"}') * 10)
        for _ in range(10):
            assert (await client.frame())[0] == TEXT
        await client.send(frame(TEXT, b'{"type":"ping"}'))
        assert await client.close_code() == 1008
        await client.cut()


async def test_messages_that_mean_nothing_count_too(server):
    async with raw_websocket(server) as client:
        await client.send(frame(TEXT, b"?") * 11)
        assert await client.close_code() == 1008


async def test_after_the_window_there_is_room_again(server):
    async with raw_websocket(server) as client:
        for _ in range(3):
            await client.send(frame(TEXT, b'{"type":"ping"}') * 10)
            for _ in range(10):
                assert (await client.frame())[0] == TEXT
            await asyncio.sleep(server.settings["message_rate_window"])
        await client.send(frame(TEXT, b'{"type":"ping"}') * 11)
        assert await client.close_code() == 1008


async def test_frames_of_the_protocol_are_not_messages(server):
    async with raw_websocket(server) as client:
        await client.send(frame(PING, b"?") * 50 + frame(PONG) * 50)
        for _ in range(50):
            assert await client.frame() == (PONG, b"?")
        await client.send(frame(TEXT, b'{"type":"ping"}'))
        assert (await client.frame())[0] == TEXT


# What is not accepted


@pytest.mark.parametrize(
    "sent",
    [
        frame(BINARY, b"\x00\x01"),
        frame(BINARY),
        frame(BINARY, b'{"type":"ping"}'),
        frame(BINARY, b"", fin=False) + frame(CONTINUATION),
    ],
    ids=["bytes", "empty", "JSON", "empty fragments"],
)
async def test_binary_closes_with_1003(server, sent):
    async with raw_websocket(server) as client:
        await client.send(sent)
        assert await client.close_code() == 1003
        await client.cut()


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (frame(TEXT, b"\xff\xfe"), 1007),
        (frame(TEXT, b"\xed\xa0\x80"), 1007),
        (frame(TEXT, b"\xf0\x9f\x98"), 1007),
        (frame(TEXT, b"ok", fin=False) + frame(CONTINUATION, b"\x80"), 1007),
        (frame(TEXT, b"hello", masked=False), 1002),
        (frame(TEXT, b"x", rsv=4), 1002),
        (frame(TEXT, b"x", rsv=1), 1002),
        (frame(3, b"x"), 1002),
        (frame(11), 1002),
        (frame(CONTINUATION, b"x"), 1002),
        (frame(TEXT, b"x", fin=False) + frame(TEXT, b"x"), 1002),
        (frame(PING, b"x", fin=False), 1002),
        (frame(PING, b"x" * 126), 1002),
        (frame(CLOSE, b"x"), 1002),
        (frame(CLOSE, (999).to_bytes(2, "big")), 1002),
        (frame(CLOSE, (1005).to_bytes(2, "big")), 1002),
        (frame(CLOSE, (1000).to_bytes(2, "big") + b"\xff"), 1007),
        (b"\x81\xff" + (1 << 63).to_bytes(8, "big") + bytes(4), 1002),
        (b"\x81\xfe\x00\x01" + bytes(4) + b"x", 1002),
    ],
    ids=[
        "invalid UTF-8",
        "a surrogate",
        "half a character",
        "invalid UTF-8 in a fragment",
        "unmasked",
        "compressed",
        "reserved bit",
        "reserved data frame",
        "reserved control frame",
        "continuation of nothing",
        "message in a message",
        "fragmented ping",
        "long ping",
        "close with half a code",
        "close with an unknown code",
        "close with a code that is never sent",
        "close with an invalid reason",
        "negative size",
        "size not in the shortest form",
    ],
)
async def test_breaking_the_protocol_closes_with_its_code(server, sent, code):
    async with raw_websocket(server) as client:
        await client.send(sent)
        assert await client.close_code() == code
        await client.cut()


@pytest.mark.parametrize("code", [b"", (1000).to_bytes(2, "big"), (1001).to_bytes(2, "big"), (4000).to_bytes(2, "big")])
async def test_a_close_is_answered_alike(server, code):
    async with raw_websocket(server) as client:
        await client.send(frame(CLOSE, code))
        assert await client.frame() == (CLOSE, code)
        await client.cut()


@pytest.mark.parametrize(
    "request_",
    [
        upgrade().replace(b"Sec-WebSocket-Version: 13", b"Sec-WebSocket-Version: 8"),
        upgrade().replace(b"Sec-WebSocket-Key", b"Sec-WebSocket-Lock"),
        get("/ws/streams"),
        b"GET /ws/streams HTTP/1.1\r\n\r\n",
        b"nonsense\r\n\r\n",
        b"\x00\xff" * 100 + b"\r\n\r\n",
        upgrade("/ws/nowhere"),
        upgrade().replace(b"GET", b"POST"),
    ],
    ids=["old version", "no key", "no upgrade", "no host", "no HTTP", "bytes", "no such path", "POST"],
)
async def test_a_handshake_that_is_none_gets_an_http_error(server, request_):
    async with raw(server, request_) as client:
        status = int((await client.until(b"\r\n")).split()[1])
        assert 400 <= status < 500
    await until_connections(server, 0, 0)


# The heartbeat


async def test_a_ping_comes_every_interval_and_who_answers_stays(restless):
    interval = restless.settings["heartbeat_interval"]
    async with raw_websocket(restless) as client:
        begun = time.monotonic()
        for _ in range(5):
            opcode, payload = await client.frame()
            assert opcode == PING
            await client.send(frame(PONG, payload))
        assert time.monotonic() - begun >= 4 * interval


async def test_who_answers_nothing_is_terminated(restless):
    begun = time.monotonic()
    async with raw_websocket(restless) as client:
        assert (await client.frame())[0] == PING
        await client.cut()
        assert 2 * restless.settings["heartbeat_interval"] - 0.2 < time.monotonic() - begun < 5
        await until_connections(restless, 0, 0)
    assert restless.logged("disconnected")[-1]["reason"] == "vanished"


async def test_any_byte_is_an_answer(restless):
    async with raw_websocket(restless) as client:
        # A message of 100 bytes that takes its time, never a pong.
        for byte in frame(TEXT, b"x" * 100)[:6]:
            assert (await client.frame())[0] == PING
            await client.send(bytes([byte]))
        assert await connections(restless) == (1, 0)


# Keepalive and cursors of the SSE feed


async def test_a_quiet_feed_gets_comments(restless):
    async with raw(restless, get("/sse/streams")) as client:
        assert b"text/event-stream" in await client.until(b"\r\n\r\n")
        begun = time.monotonic()
        for _ in range(3):
            await client.until(b": keepalive\n\n")
        assert time.monotonic() - begun > 2 * restless.settings["keepalive_interval"]


async def test_a_filter_that_skips_moves_the_cursor_without_an_event(restless):
    nobody = address("nobody")
    async with api_of(restless) as api:
        async with follow(restless, "sse", sender=nobody) as client:
            batch = {"events": [created() for _ in range(7)]}
            last = (await api.post("/api/events", json=batch)).json()["results"][-1]["id"]
            await until_cursor(client, last)
            assert client.messages == []
        missed = [created() for _ in range(3)] + [created(sender=nobody)]
        results = (await api.post("/api/events", json={"events": missed})).json()["results"]
        # Without the filter now: everything after the cursor, and nothing of what was skipped before it.
        async with follow(restless, "sse", cursor=client.cursor, client=client) as client:
            await client.count(4)
    assert [event["id"] for event in client.events] == [result["id"] for result in results]


async def until_cursor(client, cursor: str) -> None:
    async with asyncio.timeout(15):
        while client.cursor != cursor:
            await asyncio.sleep(0.01)


async def test_a_cursor_that_moved_is_told_once(restless):
    async with api_of(restless) as api, raw(restless, get(f"/sse/streams?sender={address('nobody')}")) as client:
        await client.until(b": connected\n")
        stream = (await api.post("/api/streams", json=new_stream())).headers
        head = (await api.get("/health")).json()["log"]["head"]
        assert stream
        told = await client.until(f"id: {head}\n\n".encode())
        after = await client.until(b": keepalive\n\n")
        assert told.count(b"event: feed.position\n") == 1
        assert f'data: {{"event":"feed.position","cursor":"{head}"}}\nid: {head}\n\n'.encode() in told
        assert b"event:" not in after
        assert b"id:" not in after


# Caps


@pytest.fixture(scope="module")
def crowded(new_database, tmp_path_factory) -> Iterator[Server]:
    """Few places, behind a proxy."""
    server = Server(
        tmp_path_factory.mktemp("crowded"),
        database_url=new_database("sqlite"),
        max_connections=5,
        max_connections_per_address=2,
        trusted_proxy_hops=1,
    ).start()
    yield server
    until_left(server)
    assert server.stop() == 0
    assert_no_failure(server)


def request_of(transport: str, **headers: str) -> bytes:
    return upgrade(**headers) if transport == "websocket" else get("/sse/streams", **headers)


async def admitted(stack: AsyncExitStack, server: Server, transport: str, forwarded: str):
    client = await stack.enter_async_context(raw(server, request_of(transport, **{"X-Forwarded-For": forwarded})))
    head = await client.until(b"\r\n\r\n")
    status = int(head.split()[1])
    assert status == (101 if transport == "websocket" else 200), head
    return client


async def refusal(server: Server, transport: str, forwarded: str) -> int:
    async with raw(server, request_of(transport, **{"X-Forwarded-For": forwarded})) as client:
        head = (await client.until(b"\r\n\r\n")).decode().lower()
        status = int(head.split()[1])
        assert "content-type: application/problem+json\r\n" in head
        assert "retry-after: 5\r\n" in head
        assert "upgrade: websocket" not in head
        body = json.loads(await client.until(b"}"))
        assert body["status"] == status
        assert body["type"] == "urn:fluxora:problem:too-many-connections"
    return status


async def test_an_address_has_so_many_places(crowded, transport):
    async with AsyncExitStack() as stack:
        one = await admitted(stack, crowded, "websocket", "1.1.1.1")
        await admitted(stack, crowded, "sse", "1.1.1.1")
        assert await refusal(crowded, transport, "1.1.1.1") == 429
        # What the client itself claims stands before what the proxy saw.
        assert await refusal(crowded, transport, "9.9.9.9, 1.1.1.1") == 429
        await admitted(stack, crowded, transport, "1.1.1.1, 2.2.2.2")
        one.abort()
        await until_connections(crowded, *((1, 1) if transport == "websocket" else (0, 2)))
        await admitted(stack, crowded, transport, "1.1.1.1")
        assert await refusal(crowded, transport, "1.1.1.1") == 429
    await until_connections(crowded, 0, 0)


async def test_the_process_has_so_many_places(crowded, transport):
    async with AsyncExitStack() as stack:
        for number in range(5):
            await admitted(stack, crowded, ("websocket", "sse")[number % 2], f"3.3.3.{number}")
        assert await refusal(crowded, transport, "4.4.4.4") == 503
        # A full house is no reason to be deaf: the API and the health checks answer.
        assert await connections(crowded) == (3, 2)
    await until_connections(crowded, 0, 0)
    async with AsyncExitStack() as stack:
        for number in range(5):
            await admitted(stack, crowded, transport, f"3.3.3.{number}")
        assert await refusal(crowded, transport, "4.4.4.4") == 503
    await until_connections(crowded, 0, 0)


async def test_who_vanishes_at_any_moment_leaves_no_place_taken(crowded, transport):
    whole = request_of(transport, **{"X-Forwarded-For": "5.5.5.5"})
    for _ in range(20):
        for part in (whole[:1], whole[: len(whole) // 2], whole[:-1], whole):
            async with raw(crowded, part) as client:
                client.abort()
        async with raw(crowded, whole) as client:
            await client.receive(1)
            client.abort()
        async with raw(crowded, whole) as client:
            client.socket.close()
    await until_connections(crowded, 0, 0)
    async with AsyncExitStack() as stack:
        for _ in range(2):
            await admitted(stack, crowded, transport, "5.5.5.5")
        assert await refusal(crowded, transport, "5.5.5.5") == 429
    await until_connections(crowded, 0, 0)


async def test_requests_that_are_refused_take_no_place(crowded, transport):
    async with httpx.AsyncClient(base_url=crowded.base) as http:
        for _ in range(10):
            assert (await http.get("/sse/streams?sender=nobody")).status_code == 400
            assert (await http.head("/sse/streams")).status_code == 200
    for _ in range(10):
        async with raw(crowded, upgrade("/ws/streams?sender=nobody")) as client:
            assert (await client.until(b"\r\n")).startswith(b"HTTP/1.1 400")
    await until_connections(crowded, 0, 0)
    async with AsyncExitStack() as stack:
        await admitted(stack, crowded, transport, "127.0.0.1")
        await admitted(stack, crowded, transport, "127.0.0.1")


async def test_without_a_trusted_proxy_the_peer_counts(make_server):
    server = make_server(max_connections_per_address=1)
    async with AsyncExitStack() as stack:
        await admitted(stack, server, "websocket", "1.1.1.1")
        assert await refusal(server, "sse", "2.2.2.2") == 429
        assert await refusal(server, "websocket", "2.2.2.2") == 429


async def test_who_leaves_takes_the_socket_along(crowded):
    async with httpx.AsyncClient(base_url=crowded.base) as http:
        for _ in range(3):
            assert (await http.get("/health")).status_code == 200
    async with raw(crowded, get("/health")) as client:
        await client.until(b"}")
    until_left(crowded)


# Request bodies


def post(body_head: str) -> bytes:
    head = f"POST /api/streams HTTP/1.1\r\nHost: x\r\nX-API-Key: {KEY}\r\nContent-Type: application/json\r\n{body_head}"
    return f"{head}\r\n\r\n".encode()


async def problem_from(client) -> tuple[int, dict]:
    head = (await client.until(b"\r\n\r\n")).decode().lower()
    assert "content-type: application/problem+json\r\n" in head
    return int(head.split()[1]), json.loads(await client.until(b"}"))


async def test_a_body_of_over_a_mebibyte_is_refused_before_it_is_sent(server):
    async with raw(server, post(f"Content-Length: {MEGABYTE + 1}")) as client:
        status, problem = await problem_from(client)
    assert (status, problem["status"]) == (413, 413)


async def test_a_chunked_body_is_refused_as_soon_as_it_is_over(server):
    async with raw(server, post("Transfer-Encoding: chunked")) as client:
        for _ in range(17):
            await client.send(b"10000\r\n" + b" " * 65_536 + b"\r\n")
        status, problem = await problem_from(client)
    assert (status, problem["status"]) == (413, 413)


@pytest.mark.parametrize("chunked", [False, True])
async def test_clients_that_send_it_all_see_the_413(server, chunked):
    async def chunks():
        for _ in range(64):
            yield b" " * 65_536

    before = server.memory()
    async with api_of(server) as api:
        content = chunks() if chunked else b" " * 4 * MEGABYTE
        answer = await api.post("/api/streams", content=content, headers={"Content-Type": "application/json"})
        assert answer.status_code == 413
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert (await api.post("/api/streams", json=new_stream())).status_code == 201
    assert server.memory() - before < 8 * MEGABYTE


async def test_a_body_of_a_mebibyte_is_read(server):
    content = json.dumps({"events": [created()]}).encode().ljust(MEGABYTE)
    async with api_of(server) as api:
        answer = await api.post("/api/events", content=content, headers={"Content-Type": "application/json"})
    assert answer.status_code == 200
