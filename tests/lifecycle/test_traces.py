"""Traces: one from a request, over the commit of its write, to the last live client; for those who collect them."""

import asyncio
import sys
import time

import pytest
from structlog.testing import capture_logs

from app.settings import Settings
from app.trace_wiring import traces_of
from tests.conftest import api_of
from tests.support.collector import Collector, attributes_of
from tests.support.data import new_stream
from tests.support.feeds import follow
from tests.support.postgres import free_port
from tests.support.server import run_app

SENT_SOON = {"otel_bsp_schedule_delay": 100}
ALL = {"POST /api/streams", "commit", "flush"}


@pytest.fixture
def collector():
    with Collector() as opened:
        yield opened


@pytest.fixture
def traced(collector, make_server):
    return make_server(otel_exporter_otlp_endpoint=collector.base, **SENT_SOON)


def traceparent(number: int, *, sampled: bool = True) -> dict[str, str]:
    return {"traceparent": f"00-{number:032x}-{number:016x}-{int(sampled):02x}"}


async def trace(collector: Collector, number: int, names: set[str]):
    async with asyncio.timeout(15):
        while not collector.of(f"{number:032x}").keys() >= names:
            await asyncio.sleep(0.02)
    return collector.of(f"{number:032x}")


async def test_a_write_is_one_trace_from_the_request_to_the_last_client(traced, collector):
    async with api_of(traced) as api, follow(traced, "websocket") as one, follow(traced, "sse"):
        answer = await api.post("/api/streams", json=new_stream(), headers=traceparent(7))
        assert answer.status_code == 201
        spans = await trace(collector, 7, ALL)
        (event,) = await one.count(1)
    request, commit, flush = spans["POST /api/streams"], spans["commit"], spans["flush"]
    assert request.parent_span_id.hex() == f"{7:016x}"
    assert commit.parent_span_id == flush.parent_span_id == request.span_id
    assert attributes_of(request) == {
        "http.request.method": "POST",
        "http.route": "/api/streams",
        "url.path": "/api/streams",
        "http.response.status_code": 201,
    }
    assert attributes_of(commit) == {"fluxora.last_event_id": event["id"], "fluxora.events": 1}
    assert request.start_time_unix_nano < commit.start_time_unix_nano < commit.end_time_unix_nano
    assert commit.end_time_unix_nano == flush.start_time_unix_nano < flush.end_time_unix_nano
    assert collector.services == {"fluxora-streams"}
    (line,) = traced.logged("request")
    assert line["trace_id"] == f"{7:032x}"
    assert traced.stop() == 0


async def test_writes_that_share_a_transaction_have_a_trace_each(traced, collector):
    async with api_of(traced) as api, follow(traced, "websocket") as one:
        await asyncio.gather(
            *(api.post("/api/streams", json=new_stream(), headers=traceparent(n)) for n in range(100, 140))
        )
        ids = {event["id"] for event in await one.count(40)}
        traces = [await trace(collector, n, ALL) for n in range(100, 140)]
    assert {attributes_of(spans["commit"])["fluxora.last_event_id"] for spans in traces} == ids
    for spans in traces:
        assert spans["commit"].parent_span_id == spans["POST /api/streams"].span_id


async def test_what_is_not_sampled_or_not_of_the_api_is_not_sent(traced, collector):
    async with api_of(traced) as api:
        await api.post("/api/streams", json=new_stream(), headers=traceparent(1, sampled=False))
        await api.get("/health", headers=traceparent(2))
        await api.get("/nothing", headers=traceparent(3))
        await api.get("/api/streams/stream-none", headers=traceparent(4))
        await api.get("/api/streams", headers={"traceparent": "00-nonsense"})
        (missing,) = (await trace(collector, 4, {"GET /api/streams/<stream_id>"})).values()
    assert attributes_of(missing)["http.response.status_code"] == 404
    assert traced.stop() == 0  # sends what is left
    assert {int(span.trace_id.hex(), 16) for span in collector.spans} & {1, 2, 3} == set()
    # A `traceparent` that says nothing begins a trace of its own.
    assert [span.name for span in collector.spans if int(span.trace_id.hex(), 16) > 4] == ["GET /api/streams"]


async def test_without_a_collector_the_service_serves_and_ends_in_time(make_server):
    nobody = f"http://127.0.0.1:{free_port()}"
    server = make_server(otel_exporter_otlp_endpoint=nobody, **SENT_SOON)
    async with api_of(server) as api:
        for _ in range(5):
            assert (await api.post("/api/streams", json=new_stream())).status_code == 201
    begun = time.monotonic()
    assert server.stop() == 0
    assert time.monotonic() - begun < 10
    assert not [line for line in server.lines if "Traceback" in str(line)]


@pytest.mark.parametrize("address", ["127.0.0.1:4318", "ftp://127.0.0.1", "http://user:word@127.0.0.1", "http://"])
def test_an_address_that_is_none_is_refused(tmp_path, address):
    done = run_app("serve", cwd=tmp_path, otel_exporter_otlp_endpoint=address)
    assert done.returncode == 1
    assert "OTEL_EXPORTER_OTLP_ENDPOINT" in done.stderr


def test_without_its_packages_it_is_said_and_nothing_is_traced(monkeypatch):
    monkeypatch.delitem(sys.modules, "app.traces", raising=False)
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    with capture_logs() as lines:
        assert traces_of(Settings(otel_exporter_otlp_endpoint="http://127.0.0.1:4318")) is None
    (line,) = lines
    assert (line["event"], line["missing"]) == ("traces_unavailable", "opentelemetry")
    assert "fluxora-streams[traces]" in line["advice"]
