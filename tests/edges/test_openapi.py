"""What the service says of itself, and what it answers to input that nobody would think of."""

import asyncio
import json
import re
import socket
from contextlib import suppress
from html.parser import HTMLParser

import httpx
import hypothesis
import pytest
import schemathesis
from schemathesis.checks import not_a_server_error

from tests.conftest import api_of
from tests.support.server import KEY

EXAMPLES = 20
SLOW = {"listConnections": 2}
"""It asks every process, which takes a second."""


@pytest.fixture(scope="module", params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def own(request: pytest.FixtureRequest, migrated_database, tmp_path_factory):
    """A service of our own: made-up input also tells it that the whole world is degraded."""
    from tests.support.server import Server  # noqa: PLC0415

    server = Server(tmp_path_factory.mktemp("openapi"), database_url=migrated_database(request.param)).start()
    yield server
    assert server.stop() == 0


async def get_json(server, path: str) -> dict:
    async with httpx.AsyncClient(base_url=server.base) as http:
        answer = await http.get(path)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    return answer.json()


def references(document) -> list[str]:
    if isinstance(document, dict):
        own = [document["$ref"]] if isinstance(document.get("$ref"), str) else []
        return own + [each for value in document.values() for each in references(value)]
    if isinstance(document, list):
        return [each for value in document for each in references(value)]
    return []


def assert_references_resolve(document: dict) -> None:
    found = references(document)
    assert found
    for reference in found:
        assert reference.startswith("#/")
        target = document
        for part in reference[2:].split("/"):
            target = target[part.replace("~1", "/").replace("~0", "~")]


async def test_the_openapi_document_is_valid(own):
    document = await get_json(own, "/openapi.json")
    schemathesis.openapi.from_dict(document).validate()
    assert_references_resolve(document)
    operations = {
        (method, path): operation for path, item in document["paths"].items() for method, operation in item.items()
    }
    assert ("post", "/api/streams") in operations
    ids = [operation["operationId"] for operation in operations.values()]
    assert len(ids) == len(set(ids))
    for (method, path), operation in operations.items():
        guarded = method != "get" or path in {"/api/keys", "/api/connections", "/api/audit"}
        assert ("security" in operation) == guarded, (method, path)
        assert any(status.startswith("2") for status in operation["responses"])
        if path.startswith("/api"):
            assert operation["responses"]["default"] == {"$ref": "#/components/responses/Problem"}


async def test_the_asyncapi_document_is_whole(own):
    document = await get_json(own, "/asyncapi.json")
    assert document["asyncapi"] == "3.0.0"
    assert_references_resolve(document)
    assert {channel["address"] for channel in document["channels"].values()} == {"/sse/streams", "/ws/streams"}


def test_no_input_breaks_the_service(own):
    """Every operation but the endless one, with input that fits its description and input that doesn't."""
    schema = schemathesis.openapi.from_url(f"{own.base}/openapi.json").exclude(path="/sse/streams")
    headers = {"Authorization": f"Bearer {KEY}"}
    tested = 0
    for result in schema.get_all_operations():
        operation = result.ok()
        for mode in schemathesis.GenerationMode:
            cases = operation.as_strategy(generation_mode=mode)

            @hypothesis.given(case=cases)
            @hypothesis.settings(
                max_examples=SLOW.get(operation.definition.raw["operationId"], EXAMPLES),
                deadline=None,
                database=None,
                derandomize=True,
                suppress_health_check=list(hypothesis.HealthCheck),
            )
            def run(case) -> None:
                case.call_and_validate(headers=headers, checks=[not_a_server_error])

            # Without parameters and body there is no input that doesn't fit.
            with suppress(hypothesis.errors.Unsatisfiable):
                run()
                tested += 1
    assert tested > 12
    with httpx.Client(base_url=own.base) as http:
        assert http.get("/health").json()["database"]["reachable"]
    assert not own.logged("request_failed")


NASTY_PATHS = [
    *("/nothing", "/%00", "/api", "/api/", "/api/nothing", "//api/streams", "/api//streams", "/api/streams/a/b"),
    *("/api/streams/%2e%2e/%2e%2e", "/api/streams/..%2f..", "/" + "x" * 8000, "/api/streams/" + "x" * 8000),
    *("/static/" + "x" * 300, "/static/%00", "/static/..%2f..%2fpyproject.toml", "/static/%2e%2e/app.py", "/static/"),
    *("/docs/assets/nothing.js", "/docs/assets/%00", "/docs/assets/" + "x" * 300, "/docs/assets/..%2f__init__.py"),
    *("/api/streams/stream-%00", "/api/streams/%ED%A0%80", "/api/streams/%FF%FE", "/api/streams/%C0%80"),
]
NASTY_QUERIES = [
    *("%00", "%00=%00", "=", "&&&", "a=%ZZ", "limit=%00", "limit=1&limit=%00", "limit=" + "9" * 8000, "%FF=%FF"),
    *("sender=%00", "status=%00", "cursor=%00", "streamId=%00", "streamId=%ED%A0%80", "streamId=" + "x" * 7000),
    *("&".join(f"a{n}=1" for n in range(1500)), "after=%00", "event=%00", "lastEventId=%00", "[]=1", "a[b]=c", "%"),
]


async def test_every_error_is_a_problem_document(own):
    async with api_of(own) as http:

        async def check(method: str, url: str, *expected: int) -> None:
            answer = await http.request(method, url)
            assert answer.status_code in expected, (method, url[:80], answer.status_code)
            if answer.status_code >= 400 and method != "HEAD":
                assert answer.headers["content-type"] == "application/problem+json", (method, url[:80])
                assert answer.json()["status"] == answer.status_code

        for path in NASTY_PATHS:
            await check("GET", path, 404)
            await check("HEAD", path, 404)
            await check("POST", path, 404, 405)
        for query in NASTY_QUERIES:
            for path in ("/api/streams", "/api/events", "/health", "/docs"):
                await check("GET", f"{path}?{query}", 200, 400)
            async with http.stream("GET", f"/sse/streams?{query}") as answer:
                assert answer.status_code in (200, 400)
        for method, path in (
            *(("PUT", "/api/streams"), ("DELETE", "/api/streams"), ("POST", "/api/streams/x"), ("POST", "/health")),
            *(("PATCH", "/api/events"), ("GET", "/api/service/degraded"), ("TRACE", "/"), ("FOO", "/sse/streams")),
            *(("POST", "/sse/streams"), ("POST", "/openapi.json"), ("POST", "/docs"), ("DELETE", "/docs/assets/x")),
        ):
            answer = await http.request(method, path)
            assert (answer.status_code, answer.headers["content-type"]) == (405, "application/problem+json")
            assert "Allow" in answer.headers
        # A WebSocket's address, without the wish for one.
        await check("GET", "/ws/streams", 400, 404, 426)
    assert not own.logged("request_failed")


async def test_nonsense_on_the_wire_does_not_break_the_service(own):
    for content in (
        b"GET /health HTTP/1.1\r\n\r\n",
        b"GET /api/streams/\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /health HTTP/1.1\r\nHost: a b/\\\r\nConnection: close\r\n\r\n",
        b"GET /health HTTP/1.1\r\nHost: [::1\r\nConnection: close\r\n\r\n",
        b"GET * HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"GET http://elsewhere/health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"GET /health?" + b"x" * 100_000 + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"GET /health HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 100_000 + b"\r\n\r\n",
        b"POST /api/streams HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST /api/streams HTTP/1.1\r\nHost: x\r\nContent-Length: x\r\n\r\n",
        b"POST /api/streams HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200),
        bytes(1000),
    ):
        reader, writer = await asyncio.open_connection("127.0.0.1", own.port)
        writer.write(content)
        writer.get_extra_info("socket").shutdown(socket.SHUT_WR)
        try:
            answer = await asyncio.wait_for(reader.read(), 15)
        except ConnectionError:
            answer = b""
        assert not re.match(rb"HTTP/1.1 5", answer), content[:60]
        writer.close()
    assert (await get_json(own, "/health"))["database"]["reachable"]


class Links(HTMLParser):
    """What a page makes a browser load."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag, attrs) -> None:
        if tag != "a":
            self.found += [
                value for name, value in attrs if name in ("src", "href", "srcset", "data", "poster") and value
            ]


@pytest.mark.parametrize("page", ["/", "/docs"])
async def test_pages_load_nothing_from_elsewhere(own, page):
    async with httpx.AsyncClient(base_url=own.base) as http:
        answer = await http.get(page)
        assert answer.headers["content-type"].startswith("text/html")
        links = Links()
        links.feed(answer.text)
        assert links.found or page == "/"
        for link in links.found:
            if link.startswith("data:"):
                continue
            url = answer.url.join(link)
            assert (url.scheme, url.netloc) == (answer.url.scheme, answer.url.netloc)
            asset = await http.get(url)
            assert asset.status_code == 200, link
            if link.endswith(".css"):
                assert not re.search(r"url\(\s*[\"']?+(?!data:|#|/[^/])", asset.text), link
                assert "@import" not in asset.text


async def test_the_documentation_shows_our_document(own):
    async with httpx.AsyncClient(base_url=own.base) as http:
        page = (await http.get("/docs")).text
        [url] = re.findall(r'\bdata-url="([^"]+)"', page)
        assert json.loads((await http.get(url)).content)["info"]["title"] == "Fluxora streams"
