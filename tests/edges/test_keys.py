"""Who may write: the policy of every route there is."""

import asyncio
import re
from types import SimpleNamespace

import httpx
import pytest
from quart import Quart

from app.bootstrap import Application
from app.settings import Settings, hash_key
from tests.support.data import new_stream
from tests.support.server import KEY

OPEN = {"GET", "HEAD", "OPTIONS"}
OTHER_KEY = "another-key-0123456789abcdef"
ADMINISTRATION = ("/api/keys", "/api/connections", "/api/audit")
UNREAD = ("/api/keys/", "/api/connections", "/api/session", "/api/tickets")
"""These take no body, and go to the database, which is not there in these tests."""
SAMPLES = {
    "key_id": "none",
    "connection_id": "none",
    "parked_id": "x",
    "stream_id": "stream-1",
    "name": "swagger-ui.css",
    "filename": "index.html",
}


@pytest.fixture(scope="module")
def quart(tmp_path_factory: pytest.TempPathFactory) -> Quart:
    path = tmp_path_factory.mktemp("keys") / "unused.db"
    keys = f"{KEY},{hash_key(OTHER_KEY)}"
    app = Application(Settings(database_url=f"sqlite:///{path}", api_keys=keys))
    app.services.gate._failures = SimpleNamespace(hit=lambda *_: True)  # nobody is slowed down here
    return app.quart


def operations(app: Quart, wanted) -> list[tuple[str, str]]:
    found = [
        (method, re.sub(r"<(?:[^:>]*:)?([^>]+)>", lambda match: SAMPLES[match[1]], rule.rule))
        for rule in app.url_map.iter_rules()
        if not rule.websocket
        for method in sorted(rule.methods or ())
        if wanted(method)
    ]
    assert found
    return found


def assert_unauthorised(answer) -> None:
    assert answer.status_code == 401
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")


async def test_every_route_that_writes_needs_a_key(quart):
    writing = operations(quart, lambda method: method not in OPEN)
    assert {method for method, _ in writing} == {"POST", "PATCH", "DELETE"}
    client = quart.test_client()
    wrong = [
        {},
        *({"Authorization": value} for value in ("", "Bearer", "Bearer ", f"Basic {KEY}", KEY, f"Bearer {KEY}x")),
        *({"X-API-Key": value} for value in ("", KEY[:-1], KEY.upper(), f"Bearer {KEY}", hash_key(KEY), "\xe9")),
        {"X-API-Key": hash_key(OTHER_KEY)},
        {"Authorization": "Bearer wrong-key-0123456789", "X-API-Key": KEY},
    ]
    for method, path in writing:
        for headers in wrong:
            # Nonsense: a key comes before anything is said of the body.
            answer = await client.open(path, method=method, headers=headers, data=b"{nonsense")
            assert_unauthorised(answer)
            assert (await answer.get_json(force=True))["status"] == 401
        assert_unauthorised(await client.open(f"{path}?key={KEY}", method=method))
        assert (await client.open(f"{path}?api_key={KEY}", method=method)).status_code == 400


async def test_a_right_key_lets_every_route_that_writes_through(quart):
    client = quart.test_client()
    for method, path in operations(quart, lambda method: method not in OPEN):
        for key in (KEY, OTHER_KEY):
            for headers in (
                {"Authorization": f"Bearer {key}"},
                {"Authorization": f"bearer  {key} "},
                {"X-API-Key": key},
                {"Authorization": "Basic dTpw", "X-API-Key": key},
            ):
                answer = await client.open(
                    path, method=method, headers={**headers, "Content-Type": "text/plain", "If-Match": "nonsense"}
                )
                assert answer.status_code in (400, 404, 415) or path.startswith(UNREAD)


async def test_reads_are_open(server, quart):
    async with httpx.AsyncClient(base_url=server.base) as http:
        for method, path in operations(quart, lambda method: method in OPEN):
            async with http.stream(method, path) as answer:
                guarded = path.startswith(ADMINISTRATION)
                assert answer.status_code < 500
                assert (answer.status_code == 401) == (guarded and method != "OPTIONS"), (method, path)


async def test_keys_over_the_wire(server):
    async with httpx.AsyncClient(base_url=server.base) as http:
        before = (await http.get("/health")).json()["log"]["head"]
        for headers in ({}, {"X-API-Key": "wrong"}, {"Authorization": "Bearer wrong"}, {"X-API-Key": "\xe9".encode()}):
            assert_unauthorised(await http.post("/api/streams", json=new_stream(), headers=headers))
        assert (await http.get("/health")).json()["log"]["head"] == before
        for headers in ({"X-API-Key": KEY}, {"Authorization": f"Bearer {KEY}"}):
            assert (await http.post("/api/streams", json=new_stream(), headers=headers)).status_code == 201


async def test_hashed_keys_work(make_server):
    server = make_server(api_keys=f"{hash_key(KEY)},{OTHER_KEY}")
    async with httpx.AsyncClient(base_url=server.base) as http:
        for key, status in ((KEY, 201), (OTHER_KEY, 201), (hash_key(KEY), 401), ("x", 401)):
            answer = await http.post("/api/streams", json=new_stream(), headers={"X-API-Key": key})
            assert answer.status_code == status


async def test_another_keys_idempotency_key_is_another_key(make_server):
    server = make_server(api_keys=f"{KEY},{OTHER_KEY}")
    async with httpx.AsyncClient(base_url=server.base, headers={"Idempotency-Key": "same"}) as http:
        made = {
            (await http.post("/api/streams", json=new_stream(), headers={"X-API-Key": key})).json()["id"]
            for key in (KEY, OTHER_KEY)
        }
    assert len(made) == 2


async def answer_of(reader: asyncio.StreamReader) -> int:
    async with asyncio.timeout(15):
        head = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head.lower())
        assert length
        await reader.readexactly(int(length[1]))
    return int(head.split()[1])


async def test_an_answer_before_the_body_reaches_a_client_that_is_still_sending(server):
    """A connection closed with unread data would be reset, and the client would not see why it was refused."""
    size = 4_000_000
    for headers, status in (("", 401), (f"X-API-Key: {KEY}\r\n", 413)):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        head = f"POST /api/streams HTTP/1.1\r\nHost: x\r\n{headers}Content-Type: application/json\r\n"
        writer.write(f"{head}Content-Length: {size}\r\n\r\n".encode())
        for _ in range(size // 100_000):
            writer.write(b" " * 100_000)
            await writer.drain()
        assert await answer_of(reader) == status
        # Nor is the connection lost.
        writer.write(b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n")
        assert await answer_of(reader) == 200
        writer.close()


async def test_an_answer_does_not_wait_for_a_body_that_never_ends(server):
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(b"POST /api/streams HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nsome")
    answer = await asyncio.wait_for(reader.read(), 30)
    assert answer.startswith(b"HTTP/1.1 401")
    assert b"connection: close" in answer.lower()
    writer.close()
