"""What ends the service, and that it ends though its event loop, or the reader of its log, stands still."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time

import httpx
import pytest

from tests.conftest import api_of
from tests.support.data import new_stream
from tests.support.feeds import follow
from tests.support.server import QuietServer, Server, environment, until
from tests.support.whole_run import ROOT

STUCK = """
import hashlib, threading
from app.server.signals import Stop
with Stop(lambda: print("asked", flush=True), 0.5).heeded():
    print("ready", flush=True)
    hashlib.pbkdf2_hmac("sha256", b"", b"", 2_000_000_000)
"""


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", "SIGHUP"])
def test_the_deadline_holds_though_the_main_thread_runs_no_python(name):
    process = subprocess.Popen([sys.executable, "-c", STUCK], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    try:
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.Signals[name])
        assert process.stdout.readline() == "asked\n"
        assert process.wait(5) == 1
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", "SIGHUP"])
async def test_each_ending_signal_tells_every_client(make_server, name):
    server = make_server()
    async with follow(server, "websocket") as one, follow(server, "sse") as two:
        server.process.send_signal(signal.Signals[name])
        assert await asyncio.to_thread(server.wait) == 0
        await one.ended.wait()
        await two.ended.wait()
        assert one.close_code == 1012
        assert two.retry


@pytest.mark.postgresql
def test_a_closed_terminal_ends_all_workers(make_server):
    server = make_server(backend="postgresql", web_concurrency=2)
    server.process.send_signal(signal.SIGHUP)
    assert server.wait() == 0
    assert len(server.logged("shutdown_finished")) == 2


class Nohup(Server):
    @property
    def command(self) -> list[str]:
        return ["nohup", *super().command]


def test_under_nohup_a_closed_terminal_changes_nothing(tmp_path):
    server = Nohup(tmp_path, database_url=f"sqlite:///{tmp_path}/x.db").start()
    try:
        server.process.send_signal(signal.SIGHUP)
        for _ in range(20):
            assert httpx.get(f"{server.base}/health/ready").status_code == 200
        assert server.stop() == 0
    finally:
        server.kill()


class Unread(QuietServer):
    """Its log goes to a pipe that is gone, or that nobody reads, or to a disk that is full."""

    def __init__(self, *arguments: object, output: int, **settings: object) -> None:
        self.output = output
        super().__init__(*arguments, **settings)

    def start(self) -> "Unread":
        self.port = self.settings["port"] = free_port()
        self.process = subprocess.Popen(
            self.command, cwd=self.cwd, env=environment(self.settings), stdout=self.output, stderr=self.output
        )
        until(self._answers, 30)
        return self


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.mark.parametrize("keys", ["test-key-0123456789abcdef", ""])
@pytest.mark.parametrize("kind", ["gone", "full", "stuck"])
async def test_a_log_that_nobody_reads_changes_nothing_for_clients(tmp_path, kind, keys):
    reader, writer = os.pipe()
    output = os.open("/dev/full", os.O_WRONLY) if kind == "full" else writer
    if kind == "gone":
        os.close(reader)
    url = f"sqlite:///{tmp_path}/x.db"
    server = Unread(tmp_path, output=output, database_url=url, api_keys=keys, shutdown_timeout=10, log_level="debug")
    server.start()
    try:
        async with api_of(server) as api:
            for _ in range(400):
                # Each line has the path: more than a pipe takes.
                await api.delete(f"/api/streams/{'x' * 300}")
            if keys:
                assert (await api.post("/api/streams", json=new_stream())).status_code == 201
            async with follow(server, "websocket") as one, follow(server, "sse") as two:
                begun = time.monotonic()
                assert await asyncio.to_thread(server.stop) == 0
                assert time.monotonic() - begun < 6
                await one.ended.wait()
                await two.ended.wait()
                assert one.close_code == 1012
    finally:
        server.kill()
        os.close(output)
