"""Unusual HTTP/1.1: what is legal is served, what is not is refused in words, and no doubtful connection stays open."""

import asyncio
import json
import re
import socket
import struct
import time
from contextlib import closing

import httpx
import pytest

from tests.support.data import new_stream
from tests.support.feeds import follow
from tests.support.server import KEY, until

CREATE = json.dumps(new_stream()).encode()
GET = b"GET /health/live HTTP/1.1\r\n"
HOST = b"Host: x\r\n"
END = b"\r\n"
POST = b"POST /api/streams HTTP/1.1\r\n" + HOST + b"Content-Type: application/json\r\nX-API-Key: " + KEY.encode() + END


def connect(server) -> socket.socket:
    client = socket.create_connection(("127.0.0.1", server.port))
    client.settimeout(10)
    return client


def rest(client: socket.socket) -> bytes:
    """All that comes until the server ends the connection."""
    data = b""
    while piece := client.recv(65536):
        data += piece
    return data


def ask(server, request: bytes, *, half_close: bool = True) -> bytes:
    """Send a request, say that there is no other, and return all that comes."""
    with closing(connect(server)) as client:
        client.sendall(request)
        if half_close:
            client.shutdown(socket.SHUT_WR)
        return rest(client)


def statuses(answer: bytes) -> list[int]:
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", answer)]


def chunked(*pieces: bytes, end: bytes = b"0\r\n\r\n") -> bytes:
    return (
        b"Transfer-Encoding: chunked\r\n\r\n" + b"".join(b"%x\r\n%b\r\n" % (len(each), each) for each in pieces) + end
    )


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        pytest.param(GET + HOST + END, [200], id="plain"),
        pytest.param((GET + HOST + END) * 3, [200, 200, 200], id="pipelined"),
        pytest.param(b"GET http://x/health/live HTTP/1.1\r\nHost: y\r\n\r\n", [200], id="absolute form"),
        pytest.param(b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", [200], id="options of the server"),
        pytest.param(GET + b"Host: x:80\r\n\r\n", [200], id="host with a port"),
        pytest.param(GET + b"Host: [::1]:8000\r\n\r\n", [200], id="host of IPv6"),
        pytest.param(GET + b"Host:\r\n\r\n", [200], id="empty host"),
        pytest.param(GET + HOST + b"Range: bytes=0-1\r\n\r\n", [200], id="range of what has none"),
        pytest.param(GET + HOST + b"Connection: keep-alive\r\nConnection: close\r\n\r\n", [200], id="two lines"),
        pytest.param(b"HEAD /health/live HTTP/1.1\r\nHost: x\r\n\r\n", [200], id="head"),
        pytest.param(POST + b"Content-Length: %d\r\n\r\n" % len(CREATE) + CREATE, [201], id="length"),
        pytest.param(POST + chunked(CREATE[:9], CREATE[9:]), [201], id="chunks"),
        pytest.param(POST + chunked(CREATE, end=b"0\r\nX-Sum: 1\r\n\r\n"), [201], id="trailers"),
        pytest.param(
            POST + b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(CREATE) + CREATE, [100, 201], id="expect"
        ),
    ],
)
def test_what_is_legal_is_served(server, request_, expected):
    found = statuses(ask(server, request_))
    # Whoever has sent the body already need not be asked for it (RFC 9110, 10.1.1).
    assert found in (expected, [each for each in expected if each != 100])


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        pytest.param(GET + END, 400, id="no host"),
        pytest.param(GET + HOST + HOST + END, 400, id="two hosts"),
        pytest.param(GET + b"Host: a b\r\n\r\n", 400, id="host with a space"),
        pytest.param(GET + b"Host: x/y\r\n\r\n", 400, id="host with a path"),
        pytest.param(GET + HOST + b"X Y: 1\r\n\r\n", 400, id="name with a space"),
        pytest.param(GET + HOST + b"X-Y : 1\r\n\r\n", 400, id="space before the colon"),
        pytest.param(GET + HOST + b"X-Y: a\0b\r\n\r\n", 400, id="NUL in a value"),
        pytest.param(b"GET /a\0b HTTP/1.1\r\nHost: x\r\n\r\n", 400, id="NUL in the target"),
        pytest.param(b"GET  /health/live HTTP/1.1\r\nHost: x\r\n\r\n", 400, id="two spaces"),
        pytest.param(b"GET /health/live HTTP/3.7\r\nHost: x\r\n\r\n", 505, id="a version that is none"),
        pytest.param(b"GET health HTTP/1.1\r\nHost: x\r\n\r\n", 400, id="target without a slash"),
        pytest.param(b"CONNECT x:80 HTTP/1.1\r\nHost: x\r\n\r\n", 501, id="connect"),
        pytest.param(b"TRACE /health/live HTTP/1.1\r\nHost: x\r\n\r\n", 405, id="trace"),
        pytest.param(POST + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}", 400, id="two lengths"),
        pytest.param(POST + b"Content-Length: -1\r\n\r\n", 400, id="negative length"),
        pytest.param(POST + b"Content-Length: 2\r\n" + chunked(b"{}"), 400, id="length and chunks"),
        pytest.param(POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501, id="another coding"),
        pytest.param(POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", 400, id="a chunk without a size"),
        pytest.param((POST + chunked(b"{}")).replace(b"HTTP/1.1", b"HTTP/1.0"), 400, id="chunks on HTTP/1.0"),
        pytest.param(GET + HOST + b"Expect: the-moon\r\n\r\n", 417, id="another expectation"),
        pytest.param(GET + HOST + b"X: " + b"y" * 70_000 + b"\r\n\r\n", 431, id="one huge header"),
        pytest.param(GET + HOST + b"X: y\r\n" * 20_000 + END, 431, id="very many headers"),
        pytest.param(b"GET /" + b"x" * 70_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 431, id="a huge target"),
        pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400, id="TLS on a plain port"),
        pytest.param(b"\r\n\r\nnonsense\r\n\r\n", 400, id="nonsense"),
    ],
)
def test_what_is_not_is_refused_in_words_and_the_connection_ends(server, request_, status):
    # What follows must not be read as another request (smuggling).
    answer = ask(server, request_ + GET + HOST + END)
    assert statuses(answer)[0] == status
    if status != 405:
        assert len(statuses(answer)) == 1
        head, _, body = answer.partition(b"\r\n\r\n")
        assert b"application/problem+json" in head
        assert json.loads(body)["detail"]
        assert b"connection: close" in head.lower()
    assert httpx.get(f"{server.base}/health/live").status_code == 200


def test_a_line_that_ends_without_a_return_means_the_same_or_nothing(server):
    assert statuses(ask(server, GET.replace(b"\r\n", b"\n") + b"Host: x\n\n")) in ([200], [400])
    folded = GET + HOST + b"X-Y: a\r\n b\r\n\r\n"
    assert statuses(ask(server, folded)) in ([200], [400])


@pytest.mark.parametrize("path", ["/health", "/api/streams", "/api/events", "/openapi.json", "/metrics", "/"])
def test_a_half_close_behind_a_request_is_answered_in_full(server, path):
    answer = ask(server, b"GET %b HTTP/1.1\r\nHost: x\r\n\r\n" % path.encode())
    head, _, body = answer.partition(b"\r\n\r\n")
    assert statuses(answer) == [200]
    length = int(head.lower().partition(b"content-length:")[2].split()[0])
    assert len(body) == length


async def test_a_feed_goes_on_behind_a_half_close(server, api):
    def half_closed() -> socket.socket:
        client = connect(server)
        client.sendall(b"GET /sse/streams HTTP/1.1\r\nHost: x\r\n\r\n")
        client.shutdown(socket.SHUT_WR)
        return client

    with closing(await asyncio.to_thread(half_closed)) as client:
        async with follow(server, "sse"):
            pass
        created = (await api.post("/api/streams", json=new_stream())).json()["id"].encode()
        data = b""
        while created not in data:
            data += await asyncio.to_thread(client.recv, 65536)
        assert b": keepalive" in data


async def test_a_feed_whose_client_is_gone_gives_its_place_back(make_server):
    server = make_server()
    for reset in (False, True):
        clients = []
        for _ in range(5):
            clients.append(connect(server))
            clients[-1].sendall(b"GET /sse/streams HTTP/1.1\r\nHost: x\r\n\r\n")
            clients[-1].recv(1000)
        until(lambda: httpx.get(f"{server.base}/health").json()["sseConnections"] == 5)
        for client in clients:
            if reset:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.close()
        until(lambda: httpx.get(f"{server.base}/health").json()["sseConnections"] == 0, 5)


@pytest.mark.parametrize(
    "begun",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"GET /health", id="half a line"),
        pytest.param(GET + HOST + b"X-Slow", id="half a head"),
        pytest.param(POST + b"Content-Length: 100\r\n\r\n{", id="half a body"),
        pytest.param(POST + b"Transfer-Encoding: chunked\r\n\r\n5\r\nab", id="half a chunk"),
    ],
)
def test_who_does_not_come_to_the_end_of_a_request_is_told_and_ended(make_server, begun):
    server = make_server(request_timeout=1)
    with closing(connect(server)) as client:
        client.sendall(begun)
        begun_at = time.monotonic()
        answer = rest(client)
        assert 0.5 < time.monotonic() - begun_at < 5
    assert statuses(answer) == ([408] if begun else [])


def test_drops_of_a_head_do_not_put_its_end_off(make_server):
    server = make_server(request_timeout=1)
    with closing(connect(server)) as client:
        client.sendall(GET)
        begun_at = time.monotonic()
        client.settimeout(0.2)
        answer = b""
        for number in range(40):
            try:
                client.sendall(b"X-%d: y\r\n" % number)
                answer += client.recv(1000)
            except TimeoutError:
                continue
            except OSError:
                break
            if answer:
                break
        assert time.monotonic() - begun_at < 5
    assert statuses(answer) == [408]


def test_an_answer_that_nobody_reads_does_not_hold_its_place(make_server):
    server = make_server(write_timeout=1)
    headers = {"Authorization": f"Bearer {KEY}"}
    with httpx.Client(base_url=server.base, headers=headers) as api:
        for _ in range(500):
            api.post("/api/streams", json=new_stream())
    with closing(socket.socket()) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(("127.0.0.1", server.port))
        client.sendall((b"GET /api/events?limit=1000 HTTP/1.1\r\nHost: x\r\n\r\n") * 20)
        client.settimeout(10)
        time.sleep(4)
        data = b""
        try:
            while piece := client.recv(65536):
                data += piece
        except ConnectionError:
            pass
        assert data.count(b"HTTP/1.1 200") < 20


def test_who_says_nothing_keeps_nobody_else_out(make_server):
    server = make_server(max_request_connections=20)
    silent = [connect(server) for _ in range(100)]
    try:
        for _ in range(10):
            assert httpx.get(f"{server.base}/health/live").status_code == 200
        gone = sum(not client.recv(1) for client in silent[:70] if _ended(client))
        assert gone >= 60
    finally:
        for client in silent:
            client.close()


def _ended(client: socket.socket) -> bool:
    client.settimeout(0.5)
    try:
        return not client.recv(1, socket.MSG_PEEK)
    except OSError:
        return False
