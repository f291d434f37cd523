"""A request for a feed is answered the same on both ways in.

One that comes whole may be served at once; one that comes in two packets goes through Hypercorn and Quart.
"""

import asyncio
import itertools
import re

import pytest

from app.bootstrap import Application
from app.server.plain_get import plain_get
from app.settings import Settings
from app.web.feed.asgi_outlet import AsgiOutlet
from tests.conftest import api_of
from tests.support.data import address, new_stream
from tests.support.raw import get, raw
from tests.support.server import Server, prepare

STREAM = "stream-" + "ab" * 32 + "-0"
NONCE = "dGhlIHNhbXBsZSBub25jZQ=="
HANDSHAKE = {
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": NONCE,
}
QUERIES = [
    "",
    "?",
    "?greeting=false",
    "?greeting=maybe",
    "?live=false",
    "?lastEventId=",
    "?lastEventId=0000000000-5",
    "?lastEventId=nonsense",
    "?last_event_id=CURSOR",
    "?lastEventID=CURSOR&greeting=true",
    f"?sender={address('a')}",
    "?sender=nobody",
    f"?participant={address('a')}&event=stream.created&event=stream.updated",
    "?event=stream.flown",
    f"?streamId={STREAM}&streamId={STREAM.upper()}",
    "?streamId=a%20b%c3%a9",
    "?streamId=%ff%zz",
    "?streamid=x",
    "?token=abc",
    "?ticket=abc",
    "?ticket=",
    "?a=1&a=2",
    "?cause=withdrawn",
    "?contractId=C",
    "?streamId=a+b",
    "?streamId=a;b",
    "?=",
    "?&&",
]
HEADERS = [
    {},
    {"Last-Event-ID": "CURSOR"},
    {"Last-Event-ID": "0000000000-5"},
    {"Last-Event-ID": ""},
    {"Origin": "http://localhost"},
    {"Origin": "https://listed.example"},
    {"Origin": "https://foreign.example"},
    {"Origin": "null"},
    {"X-Request-ID": "mine-1"},
    {"X-Request-ID": "not a name"},
    {"Authorization": "Bearer wrong"},
    {"Authorization": "Basic abc"},
    {"X-API-Key": ""},
    {"Cookie": "a=b"},
    {"Cookie": "__Host-fluxora=gone"},
    {"X-Forwarded-For": "1.2.3.4, 5.6.7.8:90"},
    {"Forwarded": "for=1.2.3.4"},
    {"Accept": "text/event-stream", "User-Agent": "somebody/1.0", "Cache-Control": "no-cache", "Pragma": "no-cache"},
    {"Accept-Encoding": "gzip, deflate, br"},
    {"Connection": "keep-alive"},
    {"Connection": "close"},
    {"Upgrade": "h2c"},
    {"Content-Length": "0"},
    {"Content-Length": "4"},
    {"Transfer-Encoding": "chunked"},
    {"Expect": "100-continue"},
    {"TE": "trailers"},
    {"Range": "bytes=0-5"},
    {"If-None-Match": "*"},
    {"Odd Name": "x"},
    {"Odd": "\u00e9"},
    {"Odd": "a\tb"},
    {"Sec-WebSocket-Protocol": "fluxora.v1"},
    {"Sec-WebSocket-Protocol": "bearer.wrong"},
    {"Sec-WebSocket-Extensions": "permessage-deflate; client_max_window_bits"},
    {"Sec-WebSocket-Extensions": "permessage-deflate; server_max_window_bits=8"},
    {"Sec-WebSocket-Extensions": "permessage-deflate; ="},
    {"Sec-WebSocket-Version": "8"},
    {"Sec-WebSocket-Key": "short"},
    {"Host": ""},
    {"Host": "elsewhere.example"},
    {"Host": "a b"},
    {"host": "twice"},
]
RAW = [
    b"GET /sse/streams HTTP/1.1\r\n\r\n",
    b"GET /sse/streams HTTP/1.0\r\nHost: localhost\r\n\r\n",
    b"GET /sse/streams HTTP/1.1\nHost: localhost\n\n",
    b"GET  /sse/streams HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET http://localhost/sse/streams HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET /sse/streams/ HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET //sse/streams HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET /%73se/streams HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"get /sse/streams HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"HEAD /sse/streams HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"OPTIONS /sse/streams HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"POST /sse/streams HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n",
    b"GET /sse/streams HTTP/1.1\r\nHost: localhost\r\n folded\r\n\r\n",
    b"GET /sse/streams HTTP/1.1\r\nHost : localhost\r\n\r\n",
    b"GET /sse/streams HTTP/1.1\r\nHost:localhost\r\n\r\n",
    b"GET /sse/streams HTTP/1.1\r\nHost: \t localhost \t\r\nA:\r\n\r\n",
    b"GET /sse/streams HTTP/1.1\r\nHost: localhost\r\nno colon\r\n\r\n",
    b"GET /sse/streams HTTP/1.1\r\nHost: localhost\r\nA: \x00\r\n\r\n",
    b"GET /sse/streams HTTP/1.1\r\nHost: localhost\r\nA: b\rc\r\n\r\n",
    b"GET /sse/streams HTTP/1.1\r\nHost: localhost\r\n\r\nmore",
    b"GET /sse/streams#part HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET /sse/streams?a=\xff HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b'GET /sse/streams?a="b" HTTP/1.1\r\nHost: localhost\r\n\r\n',
    b"GET /sse/streams HTTP/1.1\r\nHost: localhost\r\n" + b"B: y\r\nB: z\r\n\r\n",
    b"GET /sse/streams HTTP/1.1\r\nHost: localhost\r\nA: " + b"x" * 5000 + b"\r\n\r\n",
    b"GET /ws/streams HTTP/1.1\r\nHost: localhost\r\n\r\n",
    get("/ws/streams", **HANDSHAKE) + b"\x89\x80\x00\x00\x00\x00",
    get("/ws/streams", **{**HANDSHAKE, "Upgrade": "WebSocket"}),
    get("/ws/streams", **{**HANDSHAKE, "Connection": "keep-alive, upgrade"}),
    get("/ws/streams", **{**HANDSHAKE, "Upgrade": "websocket, h2c"}),
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
]
PASSING = [rb"date: [^\r]*", rb"x-request-id: [0-9a-f]{32}", rb'"timestamp":"[^"]*"', rb'"requestId":"[0-9a-f]{32}"']


def requests(cursor: str) -> list[bytes]:
    asked = [(query, {}) for query in QUERIES] + [("", headers) for headers in HEADERS[1:]]
    asked += [(query, headers) for query, headers in itertools.product(QUERIES[2:8:3], HEADERS[1:6])]
    lines = []
    for (path, fixed), (query, headers) in itertools.product((("/sse", {}), ("/ws", HANDSHAKE)), asked):
        lines.append(get(f"{path}/streams{query}", **{**fixed, **headers}))
    return [line.replace(b"CURSOR", cursor.encode()) for line in [*lines, *RAW]]


@pytest.fixture(scope="module", params=[{}, {"cors_origins": "https://listed.example"}, {"cors_origins": "*"}])
def server(request, tmp_path_factory):
    server = Server(tmp_path_factory.mktemp("ways"), max_connections_per_address=10_000, **request.param).start()
    yield server
    server.stop()


async def test_an_answer_is_the_same_on_both_ways(server):
    async with api_of(server) as api:
        for _ in range(2):
            await api.post("/api/streams", json=new_stream())
        log = (await api.get("/api/events")).json()["events"]
    gate = asyncio.Semaphore(40)

    async def answers(request: bytes) -> tuple[bytes, bytes]:
        async with gate:
            return await asyncio.gather(answer(server, request), answer(server, request, pause=0.05))

    asked = requests(log[0]["id"])
    for request, (at_once, in_two) in zip(asked, await asyncio.gather(*map(answers, asked)), strict=True):
        assert at_once == in_two, request
    assert len(asked) > 150


async def test_what_is_plain_needs_no_framework(tmp_path):
    """Else both ways would be one, and the test above would compare nothing."""
    url = f"sqlite:///{tmp_path}/x.db"
    prepare(tmp_path, {"database_url": url})
    application = Application(Settings(database_url=url))
    served = 0
    async with application.running():
        for request in requests(str(application.services.hub.cursor)):
            plain = plain_get(request, application.quick.paths)
            outlet = AsgiOutlet()
            if plain is not None and application.quick.take(plain, outlet, "127.0.0.1"):
                served += 1
                outlet.ended()
        assert not application.services.guard.by_transport.total()
    assert served > 60


async def answer(server: Server, request: bytes, pause: float = 0) -> bytes:
    """What comes within a moment, without what is never twice the same."""
    data = b""
    async with raw(server, request[:9] if pause else request) as client:
        if pause:
            await asyncio.sleep(pause)
            await client.send(request[9:])
        try:
            while part := await client.receive(seconds=0.4 if data else 5):
                data += part
        except TimeoutError:
            data += b" (open)"
    for passing in PASSING:
        data = re.sub(passing, b"", data)
    return data
