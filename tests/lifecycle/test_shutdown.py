"""SIGTERM: everybody is told, nothing is lost, the exit code is 0."""

import asyncio
import hashlib
import os
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from contextlib import AsyncExitStack, suppress
from pathlib import Path

import httpx
import pytest

from tests.conftest import api_of
from tests.support.data import created, new_stream
from tests.support.feeds import follow
from tests.support.server import KEY, Server
from tests.support.whole_run import ROOT, UV

CLIENTS = 150
UPGRADE = {
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Version": "13",
}


def pythons() -> list:
    found = {f"{sys.version_info[0]}.{sys.version_info[1]}": sys.executable}
    for minor in ("3.11", "3.12", "3.13"):
        candidates = [
            *sorted(Path.home().glob(f".pyenv/versions/{minor}.*/bin/python")),
            shutil.which(f"python{minor}"),
        ]
        found.setdefault(minor, next((str(path) for path in candidates if path and works(path)), ""))
    return [pytest.param(version, path, id=version) for version, path in sorted(found.items())]


def works(path: object) -> bool:
    """A version manager may have a name for a Python that it does not have."""
    return subprocess.run([str(path), "-c", ""], capture_output=True, check=False).returncode == 0


def prepared(version: str, path: str) -> str:
    """A Python of that version with our dependencies; kept, so that the next run is quick."""
    if path == sys.executable:
        return path
    if not path:
        pytest.skip(f"Python {version} is not installed")
    locked = hashlib.sha256((ROOT / "requirements.txt").read_bytes()).hexdigest()[:12]
    home = ROOT / ".venv" / "pythons" / f"{version}-{locked}"
    if not (home / "done").exists():
        subprocess.run([UV, "venv", "--quiet", "--python", path, home], check=True)
        install = [UV, "pip", "install", "--quiet", "--python", home / "bin" / "python", "--require-hashes"]
        subprocess.run([*install, "-r", "requirements.txt"], cwd=ROOT, check=True)
        (home / "done").touch()
    return str(home / "bin" / "python")


@pytest.mark.timeout(180)
@pytest.mark.parametrize(("version", "path"), pythons())
async def test_hundreds_of_clients_are_told_on_every_python(tmp_path, version, path):
    python = await asyncio.to_thread(prepared, version, path)
    server = Server(tmp_path, python=python, database_url=f"sqlite:///{tmp_path}/x.db").start()
    async with AsyncExitStack() as stack:
        sockets = [await stack.enter_async_context(follow(server, "websocket")) for _ in range(CLIENTS)]
        streams = [await stack.enter_async_context(follow(server, "sse")) for _ in range(CLIENTS)]
        begun = time.monotonic()
        server.terminate()
        async with asyncio.timeout(20):
            for client in sockets + streams:
                await client.ended.wait()
        code = await asyncio.to_thread(server.wait)
        took = time.monotonic() - begun
    assert code == 0, server.lines[-5:]
    assert took < 10
    assert {client.close_code for client in sockets} == {1012}
    retries = [re.fullmatch(r"service restart; retry in (\d+) ms", client.close_reason) for client in sockets]
    assert len({retry[1] for retry in retries if retry}) > CLIENTS // 4
    assert len({client.retry for client in streams}) > CLIENTS // 4
    assert not [line for line in server.lines if line.get("level") in ("warning", "error")]


async def test_stalled_and_idle_connections_do_not_hold_it_up(tmp_path):
    server = Server(
        tmp_path, database_url=f"sqlite:///{tmp_path}/x.db", shutdown_timeout=10, close_timeout=1, write_timeout=60
    ).start()
    connections = []
    upgrade = (
        "Upgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
    )
    requests = [
        "GET /sse/streams HTTP/1.1\r\nHost: x\r\n\r\n",
        f"GET /ws/streams HTTP/1.1\r\nHost: x\r\n{upgrade}\r\n",
        "GET /health HTTP/1.1\r\nHost: x\r\n\r\n",
        (
            f"POST /api/streams HTTP/1.1\r\nHost: x\r\nX-API-Key: {KEY}\r\nContent-Length: 100\r\n"
            "Content-Type: application/json\r\n\r\n{"
        ),
        "GET /half",
    ]
    for request in requests:
        connection = socket.socket()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(("127.0.0.1", server.port))
        connection.sendall(request.encode())
        connections.append(connection)
    async with api_of(server) as api:
        for _ in range(8):
            await api.post("/api/events", json={"events": [created() for _ in range(1000)]})
    begun = time.monotonic()
    assert await asyncio.to_thread(server.stop) == 0
    assert time.monotonic() - begun < 10
    for connection in connections:
        connection.close()


@pytest.mark.parametrize("name", [signal.SIGTERM, signal.SIGINT])
async def test_a_burst_of_writes_loses_nothing(tmp_path, name):
    server = Server(tmp_path, database_url=f"sqlite:///{tmp_path}/x.db").start()
    accepted, refused = [], 0

    async def write(api: httpx.AsyncClient) -> None:
        nonlocal refused
        while True:
            try:
                answer = await api.post("/api/streams", json=new_stream())
            except httpx.HTTPError:
                return
            if answer.status_code == 201:
                accepted.append(answer.json()["id"])
            else:
                assert answer.status_code == 503
                assert int(answer.headers["Retry-After"]) > 0
                refused += 1
                return

    async with follow(server, "websocket") as one, follow(server, "sse") as two, api_of(server) as api:
        writers = [asyncio.create_task(write(api)) for _ in range(8)]
        await one.count(50)
        os.kill(server.pid, name)
        os.kill(server.pid, name)
        await one.ended.wait()
        await two.ended.wait()
        await asyncio.gather(*writers)
        assert await asyncio.to_thread(server.wait) == 0
    server.start()
    for transport, client in (("websocket", one), ("sse", two)):
        async with follow(server, transport, cursor=client.cursor, client=client):
            await client.until(lambda c=client: set(accepted) <= {event["streamId"] for event in c.events})
        ids = [event["id"] for event in client.events]
        assert len(ids) == len(set(ids))
    async with api_of(server) as api:
        log = (await api.get("/api/events", params={"limit": 1000})).json()["events"]
    for client in (one, two):
        begin = next(index for index, event in enumerate(log) if event["id"] == client.events[0]["id"])
        assert client.events == log[begin : begin + len(client.events)]
    assert server.stop() == 0


@pytest.fixture
def locked(tmp_path):
    """A service with a write in hand that waits for a lock, and the lock."""
    server = Server(
        tmp_path, database_url=f"sqlite:///{tmp_path}/x.db", database_timeout=60, poll_interval=60, shutdown_timeout=6
    ).start()
    holder = sqlite3.connect(tmp_path / "x.db", isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    yield server, holder
    holder.close()
    server.kill()


async def test_what_is_new_is_refused_while_what_is_in_hand_is_finished(locked):
    server, holder = locked
    async with (
        follow(server, "websocket") as one,
        follow(server, "sse") as two,
        api_of(server) as api,
        api_of(server) as upgrading,
    ):
        # Their connections are open before, as a load balancer's are.
        for each in (api, upgrading):
            assert (await each.get("/health/ready")).status_code == 200
        write = asyncio.create_task(api.post("/api/streams", json=new_stream()))
        await begun(server, api)
        server.terminate()
        async with asyncio.timeout(10):
            while (health := await api.get("/health")).status_code == 200:
                pass
        assert (health.status_code, health.json()["status"]) == (503, "shutting_down")
        assert (await api.get("/health/ready")).status_code == 503
        assert (await api.get("/health/live")).status_code == 200
        for refused in (
            await api.post("/api/streams", json=new_stream()),
            await api.post("/api/events", json={"events": [created()]}),
            await upgrading.get("/ws/streams", headers=UPGRADE),
        ):
            assert (refused.status_code, int(refused.headers["Retry-After"]) > 0) == (503, True)
        # EventSource would give up for good on a 503.
        early = await api.get("/sse/streams")
        assert early.status_code == 200
        assert re.fullmatch(r"retry: \d+\nevent: feed.closing\ndata: .*\nid: .*\n\n", early.text)
        # Telling clients does not wait for the write; they come back and get its event.
        for client in (one, two):
            await client.ended.wait()
            assert client.events == []
        assert not write.done()
        holder.execute("ROLLBACK")
        answer = await write
        assert answer.status_code == 201
        assert one.close_code == 1012
        assert await asyncio.to_thread(server.wait) == 0


async def test_a_write_that_never_ends_does_not_keep_it_from_ending(locked):
    server, _ = locked
    async with follow(server, "websocket"), api_of(server) as api:
        write = asyncio.create_task(api.post("/api/streams", json=new_stream()))
        await begun(server, api)
        terminated = time.monotonic()
        server.terminate()
        code = await asyncio.to_thread(server.wait, 15)
        assert time.monotonic() - terminated < 8
        # It ended with work undone, which its platform should know.
        assert code == 1
        with suppress(httpx.HTTPError):
            await write


async def begun(server: Server, api: httpx.AsyncClient) -> None:
    """Wait until the write is in hand."""
    del server
    async with asyncio.timeout(15):
        while "fluxora_writes_in_hand 1.0" not in (await api.get("/metrics")).text:
            await asyncio.sleep(0.01)
