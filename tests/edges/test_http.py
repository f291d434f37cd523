"""What HTTP promises: validators, caches, compression, origins, prefixes, one spelling for each thing."""

import gzip
import json

import httpx
import orjson
import pytest
import websockets

from tests.conftest import api_of
from tests.edges.test_streams_api import JSON, problem
from tests.support.data import cancelled, created, new_stream, stream_id, transaction, updated
from tests.support.feeds import follow
from tests.support.server import KEY

PAGE = "https://app.example.com"


@pytest.fixture
async def stream(api) -> dict:
    return (await api.post("/api/streams", json=new_stream())).json()


async def test_a_reader_that_has_it_gets_304(api, stream):
    path = f"/api/streams/{stream['id']}"
    for known in ('"1"', 'W/"1"', '"1-gzip"', '"1;gzip"', 'W/"1--gzip"', '"7", "1"', '"7",,W/"1"', "*"):
        answer = await api.get(path, headers={"If-None-Match": known})
        assert (answer.status_code, answer.content) == (304, b""), known
        assert answer.headers["ETag"] == '"1"'
        assert answer.headers["Last-Event-ID"]
        assert answer.headers["Cache-Control"] == "no-cache"
        assert "Accept-Encoding" in answer.headers["Vary"]
        assert "Content-Type" not in answer.headers
        assert (await api.head(path, headers={"If-None-Match": known})).status_code == 304
    for other in ('"2"', 'W/"2"', '"1x"', "nonsense", '"', "", ","):
        assert (await api.get(path, headers={"If-None-Match": other})).status_code == 200, other
    # Several lines are one list.
    lines = [("If-None-Match", '"7"'), ("If-None-Match", '"1"')]
    assert (await api.get(path, headers=lines)).status_code == 304
    await api.patch(path, json={"status": "paused"})
    assert (await api.get(path, headers={"If-None-Match": '"1"'})).status_code == 200


@pytest.mark.parametrize("path", ["/api/streams?limit=3", "/api/events?limit=3", "/openapi.json", "/asyncapi.json"])
async def test_pages_have_validators_too(api, stream, path):
    first = await api.get(path)
    assert first.headers["Cache-Control"] == "no-cache"
    again = await api.get(path, headers={"If-None-Match": first.headers["ETag"]})
    assert again.status_code == 304
    assert again.headers["ETag"] == first.headers["ETag"]
    assert (await api.get(path, headers={"If-None-Match": '"x"'})).content == first.content


async def test_a_change_may_name_what_it_must_not_find(api, stream):
    path = f"/api/streams/{stream['id']}"
    for tag in ("*", '"1"', 'W/"1"', '"3", "1"'):
        for method, body in (("PATCH", {"status": "paused"}), ("DELETE", None)):
            problem(await api.request(method, path, json=body, headers={"If-None-Match": tag}), 412)
    assert (await api.patch(path, json={"status": "paused"}, headers={"If-None-Match": '"2"'})).status_code == 200


async def test_a_cancel_that_is_repeated_is_answered_alike(api, stream):
    path = f"/api/streams/{stream['id']}"
    first = await api.delete(path, headers={"If-Match": '"1"'})
    for tag in ('"1"', '"2"', "*", '"1-gzip"', '"9", "1"'):
        again = await api.delete(path, headers={"If-Match": tag})
        assert (again.status_code, again.content, again.headers["ETag"]) == (200, first.content, '"2"')
    problem(await api.delete(path, headers={"If-Match": '"3"'}), 412)
    log = (await api.get("/api/events", params={"streamId": stream["id"]})).json()["events"]
    assert [event["version"] for event in log] == [1, 2]
    done = (await api.post("/api/streams", json=new_stream())).json()
    await api.patch(f"/api/streams/{done['id']}", json={"status": "completed"})
    problem(await api.delete(f"/api/streams/{done['id']}"), 409, "status")


async def test_every_answer_says_whether_it_may_be_kept(server, api, stream):
    async with httpx.AsyncClient(base_url=server.base) as anonymous:
        for answer, wanted in [
            (await api.get("/health"), "no-store"),
            (await api.get(f"/api/streams/{stream['id']}"), "no-cache"),
            (await api.get("/api/streams"), "no-cache"),
            (await api.get("/api/events"), "no-cache"),
            (await api.get("/docs"), "no-cache"),
            (await api.get("/static/page/live.js"), "no-cache"),
            (await api.get("/api/streams/none"), "no-store"),
            (await api.get("/nothing"), "no-store"),
            (await api.post("/api/streams", json=new_stream()), "no-store"),
            (await api.post("/api/streams", json={}), "no-store"),
            (await api.delete(f"/api/streams/{stream['id']}"), "no-store"),
            (await anonymous.post("/api/streams"), "no-store"),
            (await api.put("/api/streams"), "no-store"),
        ]:
            assert answer.headers["Cache-Control"] == wanted, answer.request.url


async def test_every_page_and_file_has_the_headers_of_a_page(server, api):
    paths = ["/", "/docs", "/static/page/live.js", "/static/docs.js", "/docs/assets/swagger-ui.css", "/favicon.ico"]
    for path in paths:
        answer = await api.get(path)
        assert answer.status_code == 200, path
        policy = answer.headers["Content-Security-Policy"]
        for part in ("default-src 'none'", "script-src 'self'", "frame-ancestors 'none'", "base-uri 'none'"):
            assert part in policy, path
        assert "unsafe-eval" not in policy
        assert answer.headers["X-Content-Type-Options"] == "nosniff", path
        assert answer.headers["Referrer-Policy"] == "no-referrer", path
    for path in ("/openapi.json", "/asyncapi.json", "/health", "/api/streams", "/nothing"):
        assert (await api.get(path)).headers["X-Content-Type-Options"] == "nosniff", path


async def test_json_is_compressed_for_who_takes_it_and_a_feed_never(server, api):
    for _ in range(3):
        await api.post("/api/streams", json=new_stream())
    plain = await api.get("/api/streams", params={"limit": 3}, headers={"Accept-Encoding": "identity"})
    assert "Content-Encoding" not in plain.headers
    assert "Accept-Encoding" in plain.headers["Vary"]
    async with httpx.AsyncClient(base_url=server.base) as http:
        request = http.build_request("GET", "/api/streams?limit=3", headers={"Accept-Encoding": "br, gzip;q=0.5"})
        raw = await http.send(request, stream=True)
        content = b"".join([part async for part in raw.aiter_raw()])
        await raw.aclose()
    assert raw.headers["Content-Encoding"] == "gzip"
    assert raw.headers["ETag"] == f"W/{plain.headers['ETag']}"
    assert gzip.decompress(content) == plain.content
    assert len(content) == int(raw.headers["Content-Length"]) < len(plain.content)
    assert (await api.get("/api/streams?limit=3", headers={"If-None-Match": raw.headers["ETag"]})).status_code == 304
    for refused in ("identity", "gzip;q=0", "br", ""):
        answer = await api.get("/api/streams", params={"limit": 3}, headers={"Accept-Encoding": refused})
        assert "Content-Encoding" not in answer.headers
    async with api.stream("GET", "/sse/streams", headers={"Accept-Encoding": "gzip"}) as feed:
        assert "Content-Encoding" not in feed.headers
        assert "ETag" not in feed.headers


async def test_a_compressed_body_is_refused_and_told_how_else(api):
    content = gzip.compress(json.dumps(new_stream()).encode())
    for coding in ("gzip", "GZIP", "br", "gzip, identity"):
        answer = await api.post("/api/streams", content=content, headers={**JSON, "Content-Encoding": coding})
        problem(answer, 415)
        assert answer.headers["Accept-Encoding"] == "identity"
    plain = json.dumps(new_stream()).encode()
    answer = await api.post("/api/streams", content=plain, headers={**JSON, "Content-Encoding": "identity"})
    assert answer.status_code == 201


async def test_a_member_that_is_given_twice_is_refused_by_name(api, stream):
    text = json.dumps(new_stream())
    for content in (f'{{"sender":"x",{text[1:]}', f'{text[:-1]},"sender":{json.dumps(new_stream()["sender"])}}}'):
        answer = await api.post("/api/streams", content=content.encode(), headers=JSON)
        assert "sender" in {error["field"] for error in problem(answer, 400)["errors"]}
    patch = b'{"status":"paused","status":"paused"}'
    problem(await api.patch(f"/api/streams/{stream['id']}", content=patch, headers=JSON), 400, "status")
    escaped = b'{"status":"paused","st\\u0061tus":"active"}'
    problem(await api.patch(f"/api/streams/{stream['id']}", content=escaped, headers=JSON), 400, "status")
    event = json.dumps(updated(stream["id"], status="paused"))
    others = ", ".join(json.dumps(created()) for _ in range(3))
    for again in ('"status":"active"', '"status" \n: "active"', '"st\\u0061tus":"active"', '"status":null'):
        for spelled in (event, event.replace('":', '" :'), event.replace(": ", ":")):
            batch = f'{{"events":[{others}, {spelled[:-1]},{again}}}]}}'
            problem(await api.post("/api/events", content=batch.encode(), headers=JSON), 400, "status")
    outside = f'{{"events":[{event}],"events":[{event}]}}'
    problem(await api.post("/api/events", content=outside.encode(), headers=JSON), 400, "events")
    assert (await api.get(f"/api/streams/{stream['id']}")).json() == stream


async def test_a_control_message_with_a_member_twice_changes_nothing(server):
    async with websockets.connect(server.ws) as socket:
        await socket.send('{"type":"subscribe","type":"unsubscribe"}')
        said = json.loads(await socket.recv())
        while said["event"] == "feed.opened":
            said = json.loads(await socket.recv())
        assert said["event"] == "error"
        assert "type" in said["message"]
        await socket.send('{"type":"ping","x":' + "[" * 1500 + "]" * 1500 + "}")
        assert json.loads(await socket.recv())["event"] in ("error", "pong")


async def test_a_stream_id_has_one_form_at_every_door(api, server, transport):
    event = created(transactionHash=transaction().upper())
    shouted = f"STREAM-{event['transactionHash']}-0"
    assert (await api.post("/api/events", json={"events": [event]})).json()["accepted"] == 1
    proper = stream_id(event).lower()
    assert (await api.get(f"/api/streams/{shouted}")).json()["id"] == proper
    async with follow(server, transport, streamId=shouted) as feed:
        assert (await api.patch(f"/api/streams/{shouted}", json={"status": "paused"})).json()["id"] == proper
        assert (await feed.count(1))[0]["streamId"] == proper
    assert (await api.post("/api/events", json={"events": [cancelled(shouted)]})).json()["accepted"] == 1
    assert (await api.delete(f"/api/streams/{shouted}")).json()["status"] == "cancelled"
    log = (await api.get("/api/events", params={"streamId": shouted})).json()["events"]
    assert [event["version"] for event in log] == [1, 2, 3]


async def test_a_control_messages_filter_has_it_too(api, server):
    event = created()
    await api.post("/api/events", json={"events": [event]})
    async with websockets.connect(server.ws) as socket:
        await socket.send(json.dumps({"type": "subscribe", "filter": {"streamId": stream_id(event).upper()}}))
        said = json.loads(await socket.recv())
        while said["event"] != "subscribed":
            said = json.loads(await socket.recv())
        assert said["filter"] == {"streamId": [stream_id(event)]}


async def test_separators_do_not_break_lines_on_any_way(make_server, transport):
    server = make_server()
    reason = "a\u2028b\u2029c\x85d\x7fe"
    async with api_of(server) as api, follow(server, transport) as feed:
        answer = await api.post("/api/service/degraded", json={"reason": reason})
        assert answer.status_code == 204
        said = await feed.message("service.degraded")
        assert said["reason"] == reason
        health = (await api.get("/health")).content
        assert orjson.loads(health)["outages"][0]["reason"] == reason


@pytest.mark.parametrize("sent", ["/fluxora", ""])
async def test_below_a_prefix(make_server, sent):
    """Whether the proxy takes the prefix off (`sent` is empty) or leaves it."""
    server = make_server(root_path="/fluxora")
    async with api_of(server) as api:
        made = await api.post(f"{sent}/api/streams", json=new_stream())
        assert made.headers["Location"] == f"/fluxora/api/streams/{made.json()['id']}"
        assert (await api.get(made.headers["Location"])).json() == made.json()
        await api.post(f"{sent}/api/streams", json=new_stream())
        page = await api.get(f"{sent}/api/streams?limit=1&status=active")
        following = page.links["next"]["url"]
        assert following.startswith("/fluxora/api/streams?limit=1&status=active&cursor=")
        assert (await api.get(following)).json()["streams"] == [made.json()]
        docs = (await api.get(f"{sent}/docs")).text
        assert 'data-url="/fluxora/openapi.json"' in docs
        assert (await api.get("/fluxora/docs/assets/swagger-ui.css")).status_code == 200
        assert (await api.get(f"{sent}/openapi.json")).json()["servers"] == [{"url": "/fluxora"}]
        assert (await api.get("/fluxorax/health")).status_code == 404
    async with websockets.connect(server.ws.replace("/ws/", f"{sent}/ws/")) as socket:
        await socket.send('{"type":"ping"}')
        assert await socket.recv()


async def statuses_for(server, **headers) -> set[int]:
    """What a page with these headers gets: by REST, SSE and WebSocket."""
    async with httpx.AsyncClient(base_url=server.base) as http:
        found = {(await http.get("/api/streams", headers=headers)).status_code}
        async with http.stream("GET", "/sse/streams", headers=headers) as answer:
            found.add(answer.status_code)
    try:
        async with websockets.connect(server.ws, additional_headers=headers):
            found.add(200)
    except websockets.InvalidStatus as refused:
        found.add(refused.response.status_code)
    return found


async def test_without_the_setting_only_own_pages_may_follow(make_server):
    server = make_server()
    own = f"127.0.0.1:{server.port}"
    for origin in (f"http://{own}", f"https://{own}"):
        assert await statuses_for(server, Origin=origin) == {200}
    assert await statuses_for(server) == {200}
    for origin in (PAGE, "null", "", f"http://127.0.0.1:{server.port + 1}", "http://127.0.0.1", "file://", "x"):
        assert await statuses_for(server, Origin=origin) == {403}, origin


async def test_listed_origins_may_follow_and_read(make_server):
    server = make_server(cors_origins=f"{PAGE}/,http://localhost:3000")
    for origin in (PAGE, "http://localhost:3000", f"http://127.0.0.1:{server.port}"):
        assert await statuses_for(server, Origin=origin) == {200}, origin
    for origin in ("null", "https://evil.example.com", f"{PAGE}.evil.com", f"{PAGE}:8443", "http://app.example.com"):
        assert await statuses_for(server, Origin=origin) == {403}, origin
    assert await statuses_for(server) == {200}
    async with api_of(server) as api:
        answer = await api.post("/api/streams", json=new_stream(), headers={"Origin": PAGE})
        assert answer.headers["Access-Control-Allow-Origin"] == PAGE
        assert answer.headers["Access-Control-Allow-Credentials"] == "true"
        exposed = set(answer.headers["Access-Control-Expose-Headers"].split(", "))
        assert exposed >= {"ETag", "Last-Event-ID", "Location", "Retry-After", "Idempotency-Replayed", "Link"}
        assert "X-Request-ID" in exposed
        for headers in ({}, {"Origin": PAGE}, {"Origin": "https://evil.example.com"}):
            assert "Origin" in (await api.get("/api/streams", headers=headers)).headers["Vary"]
        # Errors can be read, too.
        refused = await api.post("/api/streams", json={}, headers={"Origin": PAGE})
        assert refused.headers["Access-Control-Allow-Origin"] == PAGE
        async with api.stream("GET", "/sse/streams", headers={"Origin": PAGE}) as feed:
            assert feed.headers["Access-Control-Allow-Origin"] == PAGE
        # A 304 lets its page read what the cache has.
        again = {"Origin": PAGE, "If-None-Match": '"1"'}
        kept = await api.get(answer.headers["Location"], headers=again)
        assert (kept.status_code, kept.headers["Access-Control-Allow-Origin"]) == (304, PAGE)


async def test_a_preflight_asks_first(make_server):
    server = make_server(cors_origins=PAGE)
    asked = {
        "Origin": PAGE,
        "Access-Control-Request-Method": "PATCH",
        "Access-Control-Request-Headers": "if-match,authorization",
    }
    async with httpx.AsyncClient(base_url=server.base) as http:
        for path in ("/api/streams/x", "/api/events", "/sse/streams"):
            answer = await http.options(path, headers=asked)
            assert (answer.status_code, answer.content) == (204, b"")
            assert answer.headers["Access-Control-Allow-Origin"] == PAGE
            assert "PATCH" in answer.headers["Access-Control-Allow-Methods"]
            allowed = answer.headers["Access-Control-Allow-Headers"].lower()
            for name in ("if-match", "authorization", "x-api-key", "idempotency-key", "last-event-id", "content-type"):
                assert name in allowed
            assert {"Origin", "Access-Control-Request-Method"} <= set(answer.headers["Vary"].split(", "))
        foreign = await http.options("/api/streams", headers={**asked, "Origin": "https://evil.example.com"})
        assert foreign.status_code == 403
        assert "Access-Control-Allow-Origin" not in foreign.headers
        assert (await http.options("/api/streams")).status_code == 200


async def test_all_origins_means_no_credentials(make_server):
    server = make_server(cors_origins="*")
    for origin in (PAGE, "null"):
        assert await statuses_for(server, Origin=origin) == {200}
    async with httpx.AsyncClient(base_url=server.base) as http:
        answer = await http.get("/api/streams", headers={"Origin": PAGE})
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
        assert "Access-Control-Allow-Credentials" not in answer.headers


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("X-Forwarded-For", "198.51.100.7:{n}"),
        ("X-Forwarded-For", "[2001:db8::{n}]:443"),
        ("X-Forwarded-For", "2001:db8:0:0::{n}"),
        ("Forwarded", 'for="[2001:db8::{n}]:443";proto=https'),
        ("Forwarded", "for=198.51.100.7:{n};by=10.0.0.1"),
    ],
)
async def test_a_cap_by_address_is_not_beaten_by_ports(make_server, header, value):
    server = make_server(max_connections_per_address=2, trusted_proxy_hops=1, proxy_header=header)
    async with httpx.AsyncClient(base_url=server.base) as http:
        open_, statuses = [], []
        for n in range(1001, 1004):
            other = "Forwarded" if header == "X-Forwarded-For" else "X-Forwarded-For"
            headers = {header: value.format(n=n), other: f"203.0.113.{n - 1000}"}
            answer = await http.send(http.build_request("GET", "/sse/streams", headers=headers), stream=True)
            open_.append(answer)
            statuses.append(answer.status_code)
        assert statuses == [200, 200, 429]
        for answer in open_:
            await answer.aclose()


async def test_a_proxy_that_nobody_trusts_is_mentioned_once(make_server):
    server = make_server()
    async with httpx.AsyncClient(base_url=server.base, headers={"X-API-Key": KEY}) as http:
        for _ in range(3):
            await http.get("/health", headers={"X-Forwarded-For": "198.51.100.7"})
            await http.post("/api/streams", json=new_stream(), headers={"Forwarded": "for=198.51.100.7"})
    assert server.stop() == 0
    [warning] = server.logged("proxy_not_trusted")
    assert "TRUSTED_PROXY_HOPS" in warning["hint"]
