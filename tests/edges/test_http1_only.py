"""Our launcher speaks HTTP/1.1 only: who begins with HTTP/2 is told so, and who offers it is answered over HTTP/1.1."""

import shutil
import socket
import ssl
import subprocess
from pathlib import Path

import pytest

from tests.conftest import api_of, skip_or_fail
from tests.edges.test_direct import TlsServer
from tests.support.data import new_stream
from tests.support.raw import connections, get, raw, until_connections, until_left, upgrade
from tests.support.server import Server

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SETTINGS = b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"


@pytest.fixture
def server(make_server) -> Server:
    return make_server()


@pytest.mark.parametrize("sent", [PREFACE, PREFACE + SETTINGS, PREFACE[:18]], ids=["preface", "and settings", "half"])
async def test_a_preface_is_refused_in_plain_words_and_the_connection_ends(server, sent):
    async with raw(server, sent) as client:
        answer = b""
        while more := await client.receive():
            answer += more
    assert answer.startswith(b"HTTP/1.1 505 ")
    assert b"connection: close\r\n" in answer.lower()
    assert answer.endswith(b"This service speaks HTTP/1.1. HTTP/2 ends at the proxy in front of it.\n")
    until_left(server)


async def test_a_preface_behind_a_request_is_refused_too(server):
    async with raw(server, get("/health/live") + PREFACE + SETTINGS) as client:
        assert b" 200 " in await client.until(b'{"status":"ok"}')
        assert b" 505 " in await client.until(b"\r\n")
        await client.cut()


@pytest.mark.parametrize("connection", ["Upgrade, HTTP2-Settings", "upgrade"])
async def test_an_upgrade_to_h2c_is_ignored(server, connection):
    wish = {"Upgrade": "h2c", "Connection": connection, "HTTP2-Settings": "AAMAAABkAAQAAP__"}
    async with raw(server, get("/health/live", **wish) + get("/health/live")) as client:
        for _ in range(2):
            assert (await client.until(b"\r\n")).startswith(b"HTTP/1.1 200")
            await client.until(b'{"status":"ok"}\n')


@pytest.mark.parametrize(
    "lines",
    [
        b"Upgrade: websocket\r\nConnection: Upgrade\r\nConnection: keep-alive\r\n",
        b"Connection: keep-alive\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n",
        b"Upgrade: websocket, h2c\r\nConnection: Upgrade\r\n",
        b"Upgrade: h2c\r\nUpgrade: WebSocket\r\nConnection: keep-alive , UPGRADE\r\n",
    ],
)
async def test_a_list_header_may_have_several_lines_and_members(server, lines):
    request = upgrade().replace(b"Upgrade: websocket\r\nConnection: Upgrade\r\n", lines)
    async with raw(server, request) as client:
        assert b" 101 " in await client.until(b"\r\n\r\n")


async def test_over_http_1_0_a_feed_has_no_chunks(server):
    async with raw(server, get("/sse/streams").replace(b"HTTP/1.1", b"HTTP/1.0")) as client, api_of(server) as api:
        head = (await client.until(b"\r\n\r\n")).lower()
        assert b"transfer-encoding" not in head
        first = await client.until(b"\n\n")
        assert first.startswith(b": connected\nretry: 1000\nevent: feed.opened\ndata: {")
        await api.post("/api/streams", json=new_stream())
        block = await client.until(b"\n\n")
        assert block.startswith(b'event: stream.created\ndata: {"id":"')
        assert (await connections(server)) == (0, 1)
    await until_connections(server, 0, 0)


def test_tls_offers_http_1_1_only(tmp_path: Path):
    openssl = shutil.which("openssl")
    if openssl is None:
        skip_or_fail("openssl is not installed")
    make = "req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out cert.pem -days 2 -subj /CN=localhost"
    names = ["-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run([openssl, *make.split(), *names], cwd=tmp_path, check=True, capture_output=True)
    (tmp_path / "hypercorn.toml").write_text(f'certfile = "{tmp_path}/cert.pem"\nkeyfile = "{tmp_path}/key.pem"\n')
    server = TlsServer(tmp_path).start()
    try:
        context = ssl.create_default_context(cafile=str(tmp_path / "cert.pem"))
        for offered, chosen in ((["h2", "http/1.1"], "http/1.1"), (["h2"], None)):
            context.set_alpn_protocols(offered)
            with (
                socket.create_connection(("127.0.0.1", server.port)) as plain,
                context.wrap_socket(plain, server_hostname="127.0.0.1") as secure,
            ):
                assert secure.selected_alpn_protocol() == chosen
                secure.sendall(get("/health/live"))
                assert secure.recv(100).startswith(b"HTTP/1.1 200")
    finally:
        server.kill()
