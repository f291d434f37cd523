"""Several processes on one port: they serve as one, the dead are replaced, all end together."""

import asyncio
import os
import re
import signal
import time
from collections.abc import Callable
from contextlib import AsyncExitStack

import httpx
import psutil
import pytest

from app.server import sockets
from app.server.sockets import configured_workers
from tests.conftest import api_of
from tests.support.data import new_stream
from tests.support.feeds import TRANSPORTS, follow
from tests.support.server import KEY, Server, run_app, until

pytestmark = [pytest.mark.postgresql, pytest.mark.timeout(90)]
WORKERS = 2


@pytest.fixture
def service(make_server) -> Server:
    return make_server(backend="postgresql", web_concurrency=WORKERS, shutdown_timeout=8, close_timeout=1)


def health(server: Server) -> dict:
    return httpx.get(f"{server.base}/health").json()


def workers(server: Server) -> set[int]:
    return {each["process"] for each in health(server)["workers"]}


def descendants(server: Server) -> list[psutil.Process]:
    return psutil.Process(server.pid).children(recursive=True)


async def on_each(server: Server, stack: AsyncExitStack, least: int) -> dict[int, list]:
    """Open feeds until every worker has so many; returns them by worker, and for each its transport."""
    feeds: list = []
    for number in range(400):
        feeds.append(await stack.enter_async_context(follow(server, TRANSPORTS[number % 2])))
        if number % 10 == 9:
            rows = (await asyncio.to_thread(health, server))["workers"]
            if len(rows) == WORKERS and all(row["wsConnections"] + row["sseConnections"] >= least for row in rows):
                assert sum(row["wsConnections"] for row in rows) == sum(row["sseConnections"] for row in rows)
                assert sum(row["wsConnections"] + row["sseConnections"] for row in rows) == len(feeds)
                return feeds
    raise AssertionError("one worker gets no connections")


async def test_any_worker_lists_and_ends_the_connections_of_all(service):
    async with AsyncExitStack() as stack, api_of(service) as api:
        feeds = await on_each(service, stack, 2)
        found = (await api.get("/api/connections")).json()
        assert len(found["connections"]) == len(feeds)
        assert {each["process"] for each in found["connections"]} == workers(service)
        assert sum(each["open"] for each in found["processes"]) == len(feeds)
        assert [each["since"] for each in found["connections"]] == sorted(
            each["since"] for each in found["connections"]
        )
        few, other = await asyncio.gather(
            api.get("/api/connections", params={"limit": 3}),
            api.get("/api/connections", params={"principal": "key:nobody's"}),
        )
        assert few.json()["connections"] == found["connections"][:3]
        assert other.json() == {"connections": [], "processes": found["processes"]}
        for connection in found["connections"]:
            assert (await api.delete(f"/api/connections/{connection['id']}")).status_code == 204
        await asyncio.wait_for(asyncio.gather(*(feed.ended.wait() for feed in feeds)), 2)
        left = (await api.get("/api/connections")).json()
        assert left["connections"] == []
        assert [each["open"] for each in left["processes"]] == [0] * WORKERS


async def test_any_worker_gives_the_metrics_of_all(service):
    async with AsyncExitStack() as stack, api_of(service) as api:
        feeds = await on_each(service, stack, 2)
        await api.post("/api/streams", json=new_stream())

        def whole() -> bool:
            text = httpx.get(f"{service.base}/metrics").text
            open_ = re.findall(r'^fluxora_connections{transport="\w+",worker="(\d)"} (\d+)', text, re.MULTILINE)
            heads = re.findall(r'^fluxora_log_head{worker="(\d)"} 1.0', text, re.MULTILINE)
            return (
                sum(int(count) for _, count in open_) == len(feeds)
                and sorted({worker for worker, _ in open_}) == heads == ["0", "1"]
                and text.count("# TYPE fluxora_connections gauge") == 1
                and re.search(r'^fluxora_events_published_total{worker="0"} 1.0', text, re.MULTILINE) is not None
            )

        for _ in range(5):
            await asyncio.to_thread(until, whole)


async def test_they_serve_as_one(service):
    assert len(service.logged("listening")) == 1
    async with AsyncExitStack() as stack, api_of(service) as api:
        feeds = await on_each(service, stack, 3)
        made = []
        for _ in range(30):
            answer = await api.post("/api/streams", json=new_stream(), headers={"Connection": "close"})
            assert answer.status_code == 201
            made.append(answer.json()["id"])
        for feed in feeds:
            await feed.count(30)
            assert [event["streamId"] for event in feed.events] == made
        assert {(await api.get("/health", headers={"Connection": "close"})).json()["process"] for _ in range(60)} == (
            await asyncio.to_thread(workers, service)
        )
    assert await asyncio.to_thread(service.stop) == 0
    assert not [line for line in service.lines if line.get("level") in {"warning", "error"}]


async def test_a_dead_one_is_replaced_and_nobody_else_notices(service):
    async with AsyncExitStack() as stack, api_of(service) as api:
        feeds = await on_each(service, stack, 2)
        await api.post("/api/streams", json=new_stream())
        for feed in feeds:
            await feed.count(1)
        before = await asyncio.to_thread(workers, service)
        victim = min(before)
        rows = (await asyncio.to_thread(health, service))["workers"]
        [lost] = [row["wsConnections"] + row["sseConnections"] for row in rows if row["process"] == victim]
        os.kill(victim, signal.SIGKILL)
        await asyncio.to_thread(until, lambda: victim not in (now := workers(service)) and len(now) == WORKERS, 20)
        async with asyncio.timeout(5):
            while len(ended := [feed for feed in feeds if feed.ended.is_set()]) < lost:
                await asyncio.sleep(0.01)
        async with api_of(service) as fresh:
            assert (await fresh.post("/api/streams", json=new_stream())).status_code == 201
        for feed in set(feeds) - set(ended):
            await feed.count(2)
        for feed in ended:
            async with follow(service, "sse", cursor=feed.cursor) as back:
                await back.count(1)
                assert len(back.events) == 1
    [died] = service.logged("worker_died")
    assert (died["process"], died["code"]) == (victim, -signal.SIGKILL)
    assert await asyncio.to_thread(service.stop) == 0


def test_one_that_dies_again_and_again_is_replaced_ever_more_slowly(service):
    for count in range(1, 6):
        until(lambda: len(workers(service)) == WORKERS, 20)
        newest = max((psutil.Process(pid) for pid in workers(service)), key=lambda process: process.create_time()).pid
        os.kill(newest, signal.SIGKILL)
        until(lambda n=count: len(service.logged("worker_died")) == n)
    delays = [each["replaced_in"] for each in service.logged("worker_died")]
    assert delays == [0.1, 0.2, 0.4, 0.8, 1.6]
    assert service.stop() == 0


def terminate_the_supervisor(server: Server) -> None:
    server.terminate()


def terminate_all_at_once(server: Server) -> None:
    for process in [psutil.Process(server.pid), *descendants(server)]:
        process.send_signal(signal.SIGTERM)


def interrupt_all_twice(server: Server) -> None:
    for process in 2 * [psutil.Process(server.pid), *descendants(server)]:
        process.send_signal(signal.SIGINT)


@pytest.mark.parametrize("end", [terminate_the_supervisor, terminate_all_at_once, interrupt_all_twice])
async def test_all_are_told_and_end_within_the_deadline(service, end: Callable[[Server], None]):
    async with AsyncExitStack() as stack:
        feeds = await on_each(service, stack, 5)
        begun = time.monotonic()
        end(service)
        async with asyncio.timeout(8):
            for feed in feeds:
                await feed.ended.wait()
        assert await asyncio.to_thread(service.wait) == 0, service.lines[-5:]
        assert time.monotonic() - begun < 8
    by_transport = {name: feeds[number::2] for number, name in enumerate(TRANSPORTS)}
    assert {feed.close_code for feed in by_transport["websocket"]} == {1012}
    assert len({feed.close_reason for feed in by_transport["websocket"]}) > 1
    assert len({feed.retry for feed in by_transport["sse"]}) > 1
    assert not [line for line in service.lines if line.get("level") in {"warning", "error"}]


def test_it_ends_at_once_when_told_while_it_starts(tmp_path, new_database):
    server = Server(tmp_path, database_url=new_database("postgresql"), web_concurrency=3)
    server.start()
    assert server.stop() == 0
    for pause in (0.0, 0.3, 0.6, 0.9):
        process = server.spawn()
        until(lambda p=process: psutil.Process(p.pid).children(), 10)
        time.sleep(pause)
        process.terminate()
        assert process.wait(15) == 0


def test_without_its_supervisor_none_goes_on(service):
    left = descendants(service)
    os.kill(service.pid, signal.SIGKILL)
    gone, alive = psutil.wait_procs(left, timeout=15)
    assert not alive
    assert len(gone) >= WORKERS


def test_one_that_cannot_end_is_killed(service):
    stuck = min(workers(service))
    os.kill(stuck, signal.SIGSTOP)
    begun = time.monotonic()
    assert service.stop() == 1
    assert 7 < time.monotonic() - begun < 14
    assert [line["process"] for line in service.logged("worker_killed")] == [stuck]
    assert not psutil.pid_exists(stuck)


def test_what_keeps_the_first_from_serving_is_told_once(tmp_path, new_database):
    url = new_database("postgresql")
    done = run_app(cwd=tmp_path, port=0, api_keys=KEY, database_url=url, web_concurrency=4)
    assert done.returncode == 1
    [line] = done.stderr.splitlines()
    assert "python -m app migrate" in line
    assert "listening" not in done.stdout


def test_on_sqlite_more_than_one_is_refused(tmp_path):
    url = f"sqlite:///{tmp_path}/x.db"
    assert run_app("migrate", cwd=tmp_path, database_url=url, web_concurrency=2).returncode == 0
    done = run_app(cwd=tmp_path, port=0, database_url=url, web_concurrency=2)
    assert done.returncode == 1
    assert done.stderr == (
        "fluxora-streams cannot start: 2 processes need PostgreSQL; on SQLite, set WEB_CONCURRENCY=1\n"
    )


def test_hypercorns_own_setting_counts_too(tmp_path, monkeypatch):
    assert configured_workers() == 1
    file = tmp_path / "hypercorn.toml"
    file.write_text("workers = 3\n")
    monkeypatch.setattr(sockets, "CONFIG_FILE", file)
    assert configured_workers() == 3


def test_the_key_that_is_made_is_one_for_all(tmp_path, new_database):
    server = Server(tmp_path, api_keys="", database_url=new_database("postgresql"), web_concurrency=WORKERS).start()
    try:
        shown = until(lambda: (text := "\n".join(line["event"] for line in server.lines)) * ("Ctrl-C" in text))
        [key] = re.findall(r"Bearer ([\w-]+)", shown)
        for _ in range(20):
            answer = httpx.post(f"{server.base}/api/streams", json=new_stream(), headers={"X-API-Key": key})
            assert answer.status_code == 201
    finally:
        assert server.stop() == 0
