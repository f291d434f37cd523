"""WebSocket handshakes that are odd or wrong: RFC 6455, 7692 and 9110, and in plain words what is missing."""

import json
from collections.abc import Iterator

import pytest

from tests.support.raw import (
    CLOSE,
    PING,
    PONG,
    TEXT,
    assert_no_failure,
    frame,
    get,
    raw,
    raw_websocket,
    until_left,
    upgrade,
)
from tests.support.server import Server

VERSION = b"Sec-WebSocket-Version: 13\r\n"
KEY = b"Sec-WebSocket-Key: "


@pytest.fixture(scope="module")
def server(new_database, tmp_path_factory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("handshakes"), database_url=new_database("sqlite"), close_timeout=1).start()
    yield server
    until_left(server)
    assert server.stop() == 0
    assert_no_failure(server)


def without(name: str) -> bytes:
    return b"".join(line for line in upgrade().splitlines(keepends=True) if not line.startswith(name.encode() + b":"))


def added(line: bytes) -> bytes:
    return upgrade().removesuffix(b"\r\n") + line + b"\r\n\r\n"


async def answer(server: Server, request: bytes) -> tuple[int, dict[str, str], dict]:
    """The whole answer: the connection ends behind it, without a reset."""
    async with raw(server, request) as client:
        head = (await client.until(b"\r\n\r\n")).decode().lower()
        body = b""
        while more := await client.receive():
            body += more
    lines = [line.split(": ", 1) for line in head.split("\r\n")[1:] if line]
    headers = {name: ", ".join(value for other, value in lines if other == name) for name, _ in lines}
    assert headers["content-type"] == "application/problem+json"
    problem = json.loads(body)
    status = int(head.split()[1])
    assert problem["status"] == status
    return status, headers, problem


@pytest.mark.parametrize(
    ("request_", "status", "words"),
    [
        (get("/ws/streams"), 426, "`Upgrade: websocket`"),
        (without("Upgrade"), 426, "`Upgrade: websocket`"),
        (without("Connection"), 426, "`Connection: Upgrade`"),
        (upgrade().replace(b"Connection: Upgrade", b"Connection: close"), 426, "`Connection: Upgrade`"),
        (upgrade().replace(b"Upgrade: websocket", b"Upgrade: h2c"), 426, "`Upgrade: websocket`"),
        (upgrade().replace(b"HTTP/1.1", b"HTTP/1.0"), 426, "HTTP/1.1"),
        (upgrade().replace(VERSION, b"Sec-WebSocket-Version: 8\r\n"), 426, "version 13"),
        (upgrade().replace(VERSION, b"Sec-WebSocket-Version: 13, 8\r\n"), 426, "version 13"),
        (without("Sec-WebSocket-Version"), 426, "version 13"),
        (without("Sec-WebSocket-Key"), 400, "`Sec-WebSocket-Key`"),
        (upgrade().replace(KEY, KEY + b"x"), 400, "`Sec-WebSocket-Key`"),
        (upgrade().replace(KEY, KEY + b"\xe4"), 400, "`Sec-WebSocket-Key`"),
        (added(KEY + b"dGhlIHNhbXBsZSBub25jZQ=="), 400, "`Sec-WebSocket-Key`"),
        (added(b"Sec-WebSocket-Extensions: permessage-deflate; \xe4"), 400, "`Sec-WebSocket-Extensions`"),
        (added(b"Sec-WebSocket-Extensions: ;;,,"), 400, "`Sec-WebSocket-Extensions`"),
        (added(b'Sec-WebSocket-Extensions: x; a="b'), 400, "`Sec-WebSocket-Extensions`"),
        (added(b"Sec-WebSocket-Extensions: permessage-deflate; =8"), 400, "`Sec-WebSocket-Extensions`"),
        (added(b"Sec-WebSocket-Protocol: ol\xe9"), 400, "`Sec-WebSocket-Protocol`"),
    ],
)
async def test_a_handshake_that_is_none_says_what_is_missing(server, request_, status, words):
    found, headers, problem = await answer(server, request_)
    assert (found, words in problem["detail"]) == (status, True), problem
    if status == 426:
        assert headers["upgrade"] == "websocket"
        assert "upgrade" in headers["connection"].split(", ")
    assert headers.get("sec-websocket-version") == ("13" if words == "version 13" else None)
    assert "close" in headers["connection"]


async def test_a_bare_proxy_is_told_what_to_pass(server):
    """As nginx does with `proxy_pass` alone: HTTP/1.0, and the hop's headers are gone."""
    bare = without("Upgrade").replace(b"Connection: Upgrade", b"Connection: close").replace(b"HTTP/1.1", b"HTTP/1.0")
    _, _, problem = await answer(server, bare)
    for words in ("proxy", "HTTP/1.1", "`Upgrade: websocket`", "`Connection: Upgrade`"):
        assert words in problem["detail"]


async def test_what_a_refused_client_sent_early_is_not_read_as_a_request(server):
    early = upgrade().replace(VERSION, b"Sec-WebSocket-Version: 8\r\n") + frame(TEXT, b"x" * 1000) + get("/health")
    status, _, _ = await answer(server, early)
    assert status == 426


@pytest.mark.parametrize(
    "line",
    [
        b"X-Name: ol\xe9\xff",
        b"Cookie: name=\xe4\xf6; x=\x80",
        b"User-Agent: \xe2\x82\xac",
        b"Sec-WebSocket-Protocol: a, b",
        b"Sec-WebSocket-Protocol: a\r\nSec-WebSocket-Protocol: b",
        b"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits=99",
        b"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits=abc",
        b"Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=9",
        b"Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover=1",
        b"Sec-WebSocket-Extensions: permessage-deflate; unheard_of",
        b'Sec-WebSocket-Extensions: x-other; a="b, c; d"',
        b"Sec-WebSocket-Extensions: ",
    ],
)
async def test_what_cannot_be_had_is_declined(server, line):
    async with raw(server, added(line)) as client:
        head = (await client.until(b"\r\n\r\n")).lower()
        assert head.startswith(b"http/1.1 101")
        assert b"sec-websocket-extensions" not in head
        assert b"sec-websocket-protocol" not in head
        await client.send(frame(TEXT, b'{"type":"ping"}'))
        while b"pong" not in (await client.frame())[1]:
            pass


@pytest.mark.parametrize(
    "lines",
    [
        b"Sec-WebSocket-Extensions: x-other\r\nSec-WebSocket-Extensions: permessage-deflate",
        b'Sec-WebSocket-Extensions: , x-other; a="permessage", permessage-deflate; client_max_window_bits="10"',
        b"Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=9 , permessage-deflate",
    ],
)
async def test_one_offer_of_several_is_taken(server, lines):
    async with raw(server, added(lines)) as client:
        head = (await client.until(b"\r\n\r\n")).lower()
        assert head.startswith(b"http/1.1 101")
        assert b"sec-websocket-extensions: permessage-deflate;" in head


ACCEPTED = [1000, 1001, 1002, 1003, *range(1007, 1015), 3000, 3999, 4000, 4999]
REFUSED = [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535]


async def test_close_codes_that_may_be_sent_are_answered_alike_and_others_by_1002(server):
    for code in ACCEPTED + REFUSED:
        async with raw_websocket(server) as client:
            await client.send(frame(CLOSE, code.to_bytes(2, "big")))
            opcode, payload = await client.frame()
            assert opcode == CLOSE
            assert int.from_bytes(payload[:2], "big") == (code if code in ACCEPTED else 1002), code
            await client.cut()


@pytest.mark.parametrize("size", [126, 127, 5000, 70_000])
async def test_a_long_pong_breaks_the_protocol(server, size):
    async with raw_websocket(server) as client:
        await client.send(frame(PONG, b"x" * size))
        assert await client.close_code() == 1002
        await client.cut()


async def test_a_pong_of_125_bytes_is_one(server):
    async with raw_websocket(server) as client:
        await client.send(frame(PONG, b"x" * 125) + frame(PING, b"x" * 125))
        assert await client.frame() == (PONG, b"x" * 125)


# What comes early


async def test_a_first_frame_behind_the_handshake_is_taken_after_it(server):
    for size in (1, 30):
        async with raw(server, upgrade("/ws/streams?live=false&greeting=false")[:-2]) as client:
            await client.send(b"\r\n" + frame(TEXT, b'{"type":"subscribe"}') + frame(PING, b"x" * size))
            assert b" 101 " in await client.until(b"\r\n\r\n")
            said = [await client.frame() for _ in range(2)]
            assert (PONG, b"x" * size) in said
            assert any(b"subscribed" in payload for _, payload in said)


async def test_a_burst_behind_the_handshake_keeps_to_the_limits(server):
    """200 frames a second, from the first one on: the pause of reading holds from the start."""
    burst = frame(PING, b"x") * 500
    async with raw(server, upgrade("/ws/streams?greeting=false") + burst) as client:
        assert b" 101 " in await client.until(b"\r\n\r\n")
        answered = 0
        with pytest.raises(TimeoutError):
            while await client.frame(seconds=0.4) == (PONG, b"x"):
                answered += 1
        assert 150 <= answered <= 250
        while answered < 500:
            assert await client.frame(seconds=3) == (PONG, b"x")
            answered += 1


async def test_more_than_the_bound_ends_the_connection(server):
    before = server.memory()
    async with raw(server) as client:
        await client.send(upgrade()[:-2])
        with pytest.raises((ConnectionError, TimeoutError)):
            await client.send(b"\r\n" + frame(TEXT, b"x" * (64 << 20)), seconds=5)
    assert server.memory() - before < 10_000_000
