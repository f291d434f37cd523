"""What operators see: health, metrics, and the log's lines."""

import asyncio

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.conftest import api_of
from tests.support.data import new_stream
from tests.support.feeds import follow
from tests.support.server import Server, until


def metrics(server) -> dict[str, float]:
    answer = httpx.get(f"{server.base}/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    return {
        f"{sample.name}{''.join(sample.labels.values())}": sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def lines(server, event: str, **members: object) -> list[dict]:
    return [line for line in server.logged(event) if all(line[name] == value for name, value in members.items())]


@pytest.fixture(scope="module")
def own_server(tmp_path_factory):
    """Nobody else counts on it."""
    home = tmp_path_factory.mktemp("health")
    server = Server(home, database_url=f"sqlite:///{home}/x.db").start()
    yield server
    assert server.stop() == 0


async def test_health_tells_how_it_is(own_server):
    async with api_of(own_server) as api, follow(own_server, "websocket") as client, follow(own_server, "sse"):
        await api.post("/api/streams", json=new_stream())
        [event] = await client.count(1)
        answer = await api.get("/health")
        assert answer.headers["cache-control"] == "no-store"
        health = answer.json()
        assert (health["status"], health["outages"]) == ("ok", [])
        assert health["process"] == own_server.pid
        assert (health["wsConnections"], health["sseConnections"]) == (1, 1)
        assert health["log"]["head"] == event["id"]
        assert event["id"].startswith(health["log"]["epoch"] + "-")
        assert health["database"]["reachable"] is True
        assert health["database"]["latencyMs"] > 0


async def test_what_is_reported_degrades_the_service_but_not_its_readiness(own_server):
    async with api_of(own_server) as api:
        report = {"source": "indexer", "reason": "lags"}
        await api.post("/api/service/degraded", json=report)
        health = (await api.get("/health")).json()
        assert health["status"] == "degraded"
        assert [{key: outage[key] for key in report} for outage in health["outages"]] == [report]
        assert (await api.get("/health/ready")).status_code == 200
        assert metrics(own_server)["fluxora_outages"] == 1
        await api.post("/api/service/recovered", json=report)
        assert (await api.get("/health")).json()["status"] == "ok"
        assert (await api.get("/health/live")).json() == {"status": "ok"}


async def test_metrics_follow_what_happens(own_server):
    before = metrics(own_server)
    async with api_of(own_server) as api, follow(own_server, "websocket") as client, follow(own_server, "sse"):
        await api.post("/api/streams", json=new_stream())
        [event] = await client.count(1)
        after = metrics(own_server)
    assert after["fluxora_events_published_total"] == before["fluxora_events_published_total"] + 1
    assert (after["fluxora_connectionswebsocket"], after["fluxora_connectionssse"]) == (1, 1)
    assert after["fluxora_log_head"] == int(event["id"].split("-")[1]) == after["fluxora_log_events"]
    assert after["fluxora_outages"] == 0
    assert after["fluxora_database_latency_seconds"] > 0


async def test_each_connection_has_a_line_when_it_comes_and_when_it_goes(own_server, transport):
    async with follow(own_server, transport, cursor=httpx.get(f"{own_server.base}/health").json()["log"]["head"]):
        [came] = await asyncio.to_thread(
            until, lambda: lines(own_server, "connected", resumed=True, transport=transport)
        )
    same = came["connection_id"]
    [went] = await asyncio.to_thread(until, lambda: lines(own_server, "disconnected", connection_id=same))
    count = {"websocket": "websockets", "sse": "sse"}[transport]
    assert came[count] == 1
    assert (went["transport"], went["reason"], went[count]) == (transport, "client left", 0)
    assert came["address"] == "127.0.0.1"
    assert 0 <= went["seconds"] < 60


async def test_a_shutdown_is_the_reason_in_the_line_of_each_connection(make_server):
    server = make_server()
    async with follow(server, "websocket") as one, follow(server, "sse") as two:
        assert await asyncio.to_thread(server.stop) == 0
        await one.ended.wait()
        await two.ended.wait()
    for transport in ("websocket", "sse"):
        [went] = lines(server, "disconnected", transport=transport)
        assert went["reason"].startswith("service restart")
    assert [line["connections"] for line in server.logged("shutdown_started")] == [2]
    assert len(server.logged("shutdown_finished")) == 1


async def test_the_request_id_is_echoed_and_logged(own_server):
    named = await _create(own_server, {"X-Request-ID": "from-the-client_1.2"})
    assert named.headers["X-Request-ID"] == "from-the-client_1.2"
    spoofed = await _create(own_server, {"X-Request-ID": "spoofed line"})
    assert spoofed.headers["X-Request-ID"] != "spoofed line"
    made = (await _create(own_server)).headers["X-Request-ID"]
    assert len(made) == 32
    wanted = {"from-the-client_1.2", made}
    await asyncio.to_thread(until, lambda: wanted <= {line.get("request_id") for line in own_server.logged("request")})
    assert "spoofed line" not in str(own_server.lines)


async def _create(server, headers: dict[str, str] | None = None) -> httpx.Response:
    async with api_of(server) as api:
        answer = await api.post("/api/streams", json=new_stream(), headers=headers)
        assert answer.status_code == 201
        return answer
