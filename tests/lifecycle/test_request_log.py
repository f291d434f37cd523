"""What the log says of requests, so that at three in the morning somebody finds what happened."""

import asyncio
import platform
from pathlib import Path

import httpx

from app import __version__
from tests.conftest import api_of
from tests.support.data import new_stream
from tests.support.feeds import follow
from tests.support.server import KEY, until


def line_of(server, request_id: str, event: str = "request") -> dict:
    return until(lambda: next((line for line in server.logged(event) if line.get("request_id") == request_id), None))


async def test_a_write_says_who_when_how_long_and_from_where(make_server):
    server = make_server()
    async with api_of(server) as api:
        for body, status in ((new_stream(), 201), ({}, 400)):
            answer = await api.post("/api/streams", json=body, headers={"X-Request-ID": f"write-{status}"})
            assert answer.status_code == status
            line = await asyncio.to_thread(line_of, server, f"write-{status}")
            assert (line["method"], line["path"], line["status"]) == ("POST", "/api/streams", status)
            assert 0 < line["ms"] < 60_000
            assert line["address"] == "127.0.0.1"
            assert line["key"].startswith("sha256:")
            assert KEY not in str(line)


async def test_reads_are_logged_where_the_setting_says_so(make_server):
    for setting, expected in ((False, 0), (True, 2)):
        server = make_server(access_log=str(setting).lower())
        async with api_of(server) as api:
            for path in ("/api/streams", "/api/streams/none"):
                await api.get(path)
            await api.post("/api/streams", json={}, headers={"X-Request-ID": "last"})
        await asyncio.to_thread(line_of, server, "last")
        assert len([line for line in server.logged("request") if line["method"] == "GET"]) == expected
        assert server.stop() == 0


async def test_a_flood_of_refusals_is_a_line_and_a_count(make_server):
    """A client with a key that counts no more, again and again: its lines would bury all others."""
    server = make_server()
    async with httpx.AsyncClient(base_url=server.base, headers={"X-API-Key": "revoked"}) as http:
        for _ in range(50):
            assert (await http.post("/api/streams", json=new_stream())).status_code in {401, 429}
        assert (await http.post("/api/streams", json={}, headers={"X-API-Key": KEY})).status_code == 400
    assert server.stop() == 0
    statuses = [line["status"] for line in server.logged("request")]
    assert statuses == [401, 429, 400]
    (summary,) = server.logged("requests_refused")
    assert sum(summary["counts"].values()) == 50


async def test_a_read_that_fails_is_logged(make_server):
    server = make_server(poll_interval=0.2)
    Path(str(server.settings["database_url"]).removeprefix("sqlite:///")).unlink()

    def failed() -> bool:
        answer = httpx.get(f"{server.base}/api/streams", headers={"X-Request-ID": "broken"})
        return answer.status_code == 503

    await asyncio.to_thread(until, failed)
    line = await asyncio.to_thread(line_of, server, "broken")
    assert (line["method"], line["status"]) == ("GET", 503)


async def test_both_feeds_can_be_found_by_their_request_id(make_server, transport):
    server = make_server()
    async with follow(server, transport):
        connected = await asyncio.to_thread(until, lambda: server.logged("connected"))
    gone = await asyncio.to_thread(until, lambda: server.logged("disconnected"))
    assert connected[0]["request_id"] == gone[0]["request_id"]
    assert len(gone[0]["request_id"]) == 32


def test_the_first_line_says_what_was_started(make_server):
    server = make_server(max_connections=77)
    (line,) = server.logged("starting")
    assert (line["version"], line["python"]) == (__version__, platform.python_version())
    assert line["database"] == "sqlite"
    assert line["revision"]
    assert line["settings"]["MAX_CONNECTIONS"] == "77"
    assert line["settings"]["API_KEYS"] == "(secret)"
    assert "HEARTBEAT_INTERVAL" not in line["settings"]
    assert KEY not in str(server.lines)


def test_the_console_and_the_docs_can_be_switched_off(make_server):
    server = make_server(docs="false", live_page="false")
    for path in ("/", "/docs", "/docs/assets/swagger-ui.css"):
        assert httpx.get(f"{server.base}{path}").status_code == 404
    assert httpx.get(f"{server.base}/openapi.json").status_code == 200
    assert httpx.get(f"{server.base}/health").text.endswith("}\n")
