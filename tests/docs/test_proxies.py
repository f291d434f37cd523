"""The proxies as docs/how-to/proxy.md has them, and the pages as the documents show them, through a restart.

nginx runs as the document says; so do HAProxy and Caddy where they are installed. What is changed: ports, files, and
for Caddy the name of the site and where the certificate comes from.
"""

import asyncio
import json
import re
import ssl
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest
import websockets
from httpx_sse import aconnect_sse

from tests.conftest import program
from tests.docs.test_commands import blocks
from tests.docs.test_documents import named
from tests.docs.test_examples import open_feeds, write
from tests.support.postgres import free_port
from tests.support.server import KEY, Server, run_app, until
from tests.support.whole_run import ROOT

PROXY = ROOT / "docs" / "how-to" / "proxy.md"


class Proxy(NamedTuple):
    """A running proxy, as its clients see it."""

    name: str
    base: str
    certificate: Path

    def trust(self) -> ssl.SSLContext:
        """A context for one client: each says in it which versions of HTTP it speaks."""
        return ssl.create_default_context(cafile=self.certificate)

    def client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(base_url=self.base, verify=self.trust(), http2=True, timeout=30)


def shown(language: str) -> str:
    return next(block.text for block in blocks() if block.document == PROXY and block.language == language)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with fluxora.crt, fluxora.key, and both in fluxora.pem."""
    home = tmp_path_factory.mktemp("certificate")
    key, certificate = home / "fluxora.key", home / "fluxora.crt"
    make = f"req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -keyout {key} -out {certificate}"
    names = ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    subprocess.run([program("openssl"), *make.split(), *names], check=True, capture_output=True)
    (home / "fluxora.pem").write_text(certificate.read_text() + key.read_text())
    return home


def nginx(home: Path, files: Path, port: int, service: int, change: tuple[str, str] = ("", "")) -> list[str]:
    config = (
        shown("nginx")
        .replace(*change)
        .replace("127.0.0.1:8000", f"127.0.0.1:{service}")
        .replace("/etc/ssl", str(files))
    )
    config = config.replace("listen 443", f"listen 127.0.0.1:{port}")
    paths = "".join(f"{kind}_temp_path {home}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    (home / "nginx.conf").write_text(
        f"daemon off; pid {home}/pid; error_log {home}/error.log;"
        f"events {{}} http {{ access_log off; {paths} {config} }}"
    )
    return [program("nginx"), "-p", str(home), "-e", f"{home}/error.log", "-c", f"{home}/nginx.conf"]


def haproxy(home: Path, files: Path, port: int, service: int) -> list[str]:
    config = shown("haproxy").replace("127.0.0.1:8000", f"127.0.0.1:{service}").replace("/etc/ssl", str(files))
    (home / "haproxy.cfg").write_text(config.replace("bind :443", f"bind 127.0.0.1:{port}"))
    return [program("haproxy"), "-db", "-f", f"{home}/haproxy.cfg"]


def caddy(home: Path, files: Path, port: int, service: int) -> list[str]:
    config = shown("caddy").replace("127.0.0.1:8000", f"127.0.0.1:{service}")
    config = config.replace(
        "feed.example.org {", f"https://localhost:{port} {{\n\ttls {files}/fluxora.crt {files}/fluxora.key"
    )
    (home / "Caddyfile").write_text("{\n\tadmin off\n\tauto_https disable_redirects\n}\n" + config)
    return [program("caddy"), "run", "--config", f"{home}/Caddyfile", "--adapter", "caddyfile"]


@pytest.fixture
def site(make_server: Callable[..., Server]) -> Server:
    return make_server(retry_ms=100, trusted_proxy_hops=1)


@pytest.fixture(params=[nginx, haproxy, caddy], ids=lambda make: make.__name__)
def proxy(request: pytest.FixtureRequest, site: Server, certificate: Path, tmp_path: Path) -> Iterator[Proxy]:
    make, *change = request.param if isinstance(request.param, tuple) else (request.param,)
    port, home = free_port(), tmp_path / "proxy"
    home.mkdir()
    log = (home / "log").open("w")
    process = subprocess.Popen(
        make(home, certificate, port, site.port, *change),
        stdout=log,
        stderr=log,
        env={"HOME": str(home), "PATH": "/usr/bin"},
    )
    trust = ssl.create_default_context(cafile=certificate / "fluxora.crt")
    base = f"https://localhost:{port}"

    def answers() -> bool:
        assert process.poll() is None, (home / "log").read_text()
        try:
            return httpx.get(f"{base}/health/ready", verify=trust).status_code == 200
        except httpx.TransportError:
            return False

    try:
        until(answers, 20)
        yield Proxy(make.__name__, base, certificate / "fluxora.crt")
    finally:
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:  # Caddy waits for its clients
            process.kill()
            process.wait(5)
        log.close()


async def test_both_feeds_go_through_at_once_and_http2_is_spoken(site: Server, proxy: Proxy):
    async with (
        proxy.client() as http,
        aconnect_sse(http, "GET", "/sse/streams") as source,
        websockets.connect(f"wss{proxy.base[5:]}/ws/streams", ssl=proxy.trust()) as socket,
    ):
        assert source.response.http_version == "HTTP/2"
        await asyncio.to_thread(until, lambda: open_feeds(site) == 2)
        addresses = {line["address"] for line in site.logged("connected")}
        assert addresses == {"127.0.0.1"}
        received = source.aiter_sse()
        async with asyncio.timeout(20):
            # One at a time: a proxy that buffers would hold the first back until there are more.
            for _ in range(3):
                expected = await asyncio.to_thread(write, site, 1)
                while not (block := await anext(received)).event.startswith("stream."):
                    pass
                while "stream." not in (message := json.loads(await socket.recv()))["event"]:
                    pass
                assert [block.id] == [message["id"]] == expected


async def test_more_than_six_feeds_share_a_connection(site: Server, proxy: Proxy):
    """A browser's limit over HTTP/1.1; here one HTTP/2 connection carries ten."""
    limits = httpx.Limits(max_connections=1)
    async with (
        httpx.AsyncClient(base_url=proxy.base, verify=proxy.trust(), http2=True, http1=False, limits=limits) as http,
        asyncio.TaskGroup() as group,
        asyncio.timeout(20),
    ):
        release = asyncio.Event()

        async def follow() -> None:
            async with http.stream("GET", "/sse/streams") as response:
                assert response.status_code == 200
                await release.wait()

        for _ in range(10):
            group.create_task(follow())
        await asyncio.to_thread(until, lambda: open_feeds(site) == 10)
        release.set()


def check(proxy: Proxy, site: Server, *options: str, key: str = KEY) -> subprocess.CompletedProcess:
    """What `fluxora check` says of a proxy; it trusts the certificate by OpenSSL's own variable."""
    settings = {"ssl_cert_file": proxy.certificate, "fluxora_key": key, "columns": "240"}
    return run_app("check", proxy.base, *options, cwd=site.cwd, **settings)


def test_the_check_is_content_with_a_proxy_as_documented(site: Server, proxy: Proxy):
    done = check(proxy, site, "--wait", "0")
    assert done.returncode == 0, done.stdout


BUFFERED = ("proxy_buffering off;", "proxy_buffering on; proxy_ignore_headers X-Accel-Buffering;")
CUT = ("proxy_read_timeout 60s;", "proxy_read_timeout 1s;")
PLAIN = ("proxy_set_header Upgrade $http_upgrade;", "")


@pytest.mark.parametrize(
    ("proxy", "said"),
    [
        ((nginx, BUFFERED), r"SSE opens at once +│ no │ no block in 5 s: (nginx\S*|a hop in front) buffers"),
        ((nginx, CUT), r"keepalive +│ no │ nothing in 3 s of silence, or the end: nginx\S* cuts"),
        ((nginx, PLAIN), r"WebSocket opens +│ no │ HTTP 426 from nginx.*lacks `Upgrade: websocket`"),
    ],
    ids=["buffers", "cuts what is silent", "swallows upgrades"],
    indirect=["proxy"],
)
def test_the_check_tells_what_a_proxy_does_wrong(site: Server, proxy: Proxy, said: str):
    done = check(proxy, site, "--wait", "3", key="")
    assert done.returncode == 1, done.stdout
    assert re.search(said, done.stdout), done.stdout


SNIPPETS = [block for block in blocks() if block.language == "js"]


@pytest.mark.browser
@pytest.mark.parametrize("snippet", SNIPPETS, ids=str)
@pytest.mark.parametrize("proxy", [nginx], ids=["nginx"], indirect=True)
async def test_the_pages_survive_a_restart_behind_nginx(site: Server, proxy: Proxy, browser, snippet):
    """While the service is away, nginx answers 502, and EventSource gives up for good."""
    context = await browser.new_context(ignore_https_errors=True)
    page = await context.new_page()
    html = f"""<!doctype html><script type="module">
    window.seen = [];
    const log = console.log;
    console.log = (message) => {{ if (message.event.startsWith("stream.")) seen.push(message.id); log(message); }};
    {snippet.text}
    </script>"""
    await page.route("**/page", lambda route: route.fulfill(body=html, content_type="text/html"))
    refused: list[int] = []
    page.on("response", lambda response: refused.append(response.status) if response.status == 502 else None)
    await page.goto(f"{proxy.base.replace('localhost', '127.0.0.1')}/page")

    async def sees(expected: list[str]) -> None:
        async with asyncio.timeout(30):
            while await page.evaluate("seen") != expected:
                await asyncio.sleep(0.05)

    await asyncio.to_thread(until, lambda: open_feeds(site) == 1)
    expected = write(site, 2)
    await sees(expected)
    assert site.stop() == 0
    async with asyncio.timeout(20):
        if "EventSource" in snippet.text:
            while not refused:
                await asyncio.sleep(0.05)
    site.start()
    # While the page is still away: it must come back with its cursor, not at the newest event.
    expected += write(site, 2)
    await sees(expected)
    await context.close()


def test_every_snippet_is_run():
    text = "".join(block.text for block in SNIPPETS)
    assert {named(block.document) for block in SNIPPETS} == {"README.md", "docs/how-to/follow-in-a-browser.md"}
    assert re.search("new EventSource", text)
    assert re.search("new WebSocket", text)
    assert re.search("new StreamFeed", text)
