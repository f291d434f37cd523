"""Each example follows the real service through a restart, a proxy's 502 meanwhile, and its own sudden end."""

import asyncio
import json
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator

import httpx
import pytest

from tests.conftest import skip_or_fail
from tests.support.data import created, stream_id, updated
from tests.support.server import KEY, Server, until
from tests.support.whole_run import ROOT

EXAMPLES = ROOT / "examples"


class BadGateway:
    """What a proxy says while the service behind it is away."""

    def __init__(self, port: int) -> None:
        self.asked = 0
        self._socket = socket.create_server(("127.0.0.1", port))
        self._thread = threading.Thread(target=self._answer, daemon=True)
        self._thread.start()

    def _answer(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            with connection:
                connection.recv(65_536)
                connection.sendall(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                self.asked += 1

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(5)


class Example:
    """A running example, and what it printed."""

    def __init__(self, *command: str) -> None:
        self.lines: list[str] = []
        self.errors: list[str] = []
        # Those that read what is typed end with it.
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True)
        self._threads = [
            threading.Thread(target=self._read, args=(stream, lines), daemon=True)
            for stream, lines in ((self.process.stdout, self.lines), (self.process.stderr, self.errors))
        ]
        for thread in self._threads:
            thread.start()

    def _read(self, stream, lines: list[str]) -> None:
        lines.extend(iter(stream.readline, ""))

    def until_ready(self, server: Server, feeds: int = 1) -> "Example":
        until(lambda: open_feeds(server) == feeds, 15)
        return self

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(10)
        for thread in self._threads:
            thread.join(5)

    def events(self) -> list[str]:
        """The ids that it printed, in order."""
        return [
            word for line in list(self.lines) for word in line.split() if "-" in word and not word.startswith("stream")
        ]


def open_feeds(server: Server) -> int:
    health = httpx.get(f"{server.base}/health").json()
    return health["wsConnections"] + health["sseConnections"]


def write(server: Server, count: int) -> list[str]:
    """Make a stream and change it; returns the events' ids."""
    first = created()
    events = [first, *(updated(stream_id(first), streamedAmount=str(amount)) for amount in range(1, count))]
    answer = httpx.post(f"{server.base}/api/events", json={"events": events}, headers={"X-API-Key": KEY})
    assert answer.status_code == 200, answer.text
    return [result["id"] for result in answer.json()["results"]]


def restart_behind_a_proxy(server: Server, asked: Callable[[BadGateway], bool] = lambda proxy: proxy.asked > 0) -> None:
    assert server.stop() == 0
    proxy = BadGateway(server.port)
    try:
        until(lambda: asked(proxy), 15)
    finally:
        proxy.close()
    server.start()


@pytest.fixture
def server(make_server: Callable[..., Server]) -> Server:
    server = make_server(retry_ms=100)
    write(server, 1)
    return server


@pytest.fixture
def run() -> Iterator[Callable[..., Example]]:
    running: list[Example] = []

    def start(*command: str) -> Example:
        running.append(Example(*command))
        return running[-1]

    yield start
    for each in running:
        each.kill()


@pytest.mark.parametrize("name", ["follow_sse.py", "follow_websocket.py"])
def test_followers_in_python_miss_and_repeat_nothing(server, run, tmp_path, name):
    command = [sys.executable, str(EXAMPLES / name), server.base, str(tmp_path / "cursor.txt")]
    first = run(*command).until_ready(server)
    assert any(line.startswith("have stream-") for line in first.lines)
    expected = write(server, 3)
    until(lambda: first.events() == expected)

    restart_behind_a_proxy(server)
    expected += write(server, 3)
    until(lambda: first.events() == expected)

    kept = tmp_path / "cursor.txt"
    until(lambda: kept.read_text() == expected[-1])
    first.kill()
    missed = write(server, 3)
    second = run(*command)
    until(lambda: second.events() == missed)
    assert not [line for line in first.errors + second.errors if "Traceback" in line]


def test_the_follower_in_node_misses_and_repeats_nothing(server, run):
    node = shutil.which("node")
    if node is None:
        skip_or_fail("Node is not installed")
    example = run(node, str(EXAMPLES / "follow.mjs"), server.base).until_ready(server)
    expected = write(server, 3)
    until(lambda: example.events() == expected)
    restart_behind_a_proxy(server)
    expected += write(server, 3)
    until(lambda: example.events() == expected)


@pytest.mark.browser
async def test_the_page_misses_and_repeats_nothing(server, browser):
    """Behind a proxy that answers 502, EventSource ends for good; the example makes a new one."""
    context = await browser.new_context()
    page = await context.new_page()
    html = (EXAMPLES / "follow.html").read_text()
    await page.route("**/example", lambda route: route.fulfill(body=html, content_type="text/html"))
    await page.goto(f"{server.base}/example")

    async def shows(expected: list[str]) -> None:
        async with asyncio.timeout(20):
            script = "[...document.querySelectorAll('li')].map((line) => line.dataset.id)"
            while await page.evaluate(script) != expected:
                await asyncio.sleep(0.05)

    await asyncio.to_thread(until, lambda: open_feeds(server) == 1)
    expected = write(server, 3)
    await shows(expected)
    await asyncio.to_thread(restart_behind_a_proxy, server)
    expected += write(server, 3)
    await shows(expected)
    await context.close()


def test_a_client_changes_over_in_mid_stream(server, run):
    example = run(sys.executable, str(EXAMPLES / "resume_elsewhere.py"), server.base).until_ready(server)
    expected = write(server, 12)
    until(lambda: len(example.lines) == 12)
    assert example.events() == expected
    assert [line.split()[0] for line in example.lines[::3]] == ["by_sse", "by_websocket", "by_sse", "by_websocket"]


def test_the_indexer_posts_each_event_once(server, run, tmp_path, monkeypatch):
    monkeypatch.setenv("FLUXORA_KEY", KEY)
    first = created()
    late = updated("stream-" + "f" * 64 + "-0", status="paused")
    lines = "".join(json.dumps(each) + "\n" for each in (first, updated(stream_id(first), status="paused"), late))

    def post() -> subprocess.CompletedProcess:
        command = [sys.executable, str(EXAMPLES / "indexer.py"), server.base]
        return subprocess.run(command, input=lines, capture_output=True, text=True, timeout=30, check=False)

    done = post()
    assert done.stdout.split("\n")[0] == "2 accepted 0 ignored 1 rejected", done
    assert late["transactionHash"] in done.stderr
    assert post().stdout.split("\n")[0] == "0 accepted 2 ignored 1 rejected"

    assert server.stop() == 0
    proxy = BadGateway(server.port)
    waiting = subprocess.Popen(
        [sys.executable, str(EXAMPLES / "indexer.py"), server.base],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert waiting.stdin
    waiting.stdin.write(json.dumps(created()) + "\n")
    waiting.stdin.close()
    until(lambda: proxy.asked)
    proxy.close()
    server.start()
    assert waiting.stdout
    assert waiting.stdout.read().strip() == "1 accepted 0 ignored 0 rejected"
    assert waiting.wait(10) == 0

    monkeypatch.setenv("FLUXORA_KEY", "a-wrong-key-0123456789")
    assert post().returncode == 1
