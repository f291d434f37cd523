"""What a connection was made of is given back when it ends: Python's collector looks at what is old almost never.

What waits for it is a leak, of 3 KiB for a feed, and 20 for a connection of Hypercorn's.
"""

import asyncio
import signal
from contextlib import AsyncExitStack

import pytest

from tests.conftest import api_of
from tests.support.data import new_stream
from tests.support.raw import assert_no_failure, get, raw, until_connections, upgrade
from tests.support.server import Server

CLIENTS = 20
PING_FRAME = b"\x89\x00"
OURS = ("app.", "hypercorn.", "h11._connection.", "asyncio.streams.")


class Telling(Server):
    @property
    def command(self) -> list[str]:
        return [self.python, "-m", "tests.support.garbage"]

    async def garbage(self) -> dict[str, int]:
        """What has become garbage since the last time, by type."""
        told = len(self.lines)
        self.process.send_signal(signal.SIGUSR1)
        async with asyncio.timeout(10):
            while not (found := [line["found"] for line in self.lines[told:] if line["event"] == "garbage"]):
                await asyncio.sleep(0.01)
        return found[0]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    settings = {"keepalive_interval": 0.2, "heartbeat_interval": 0.2, "request_timeout": 1}
    server = Telling(tmp_path_factory.mktemp("garbage"), **settings).start()
    yield server
    assert server.stop() == 0
    assert_no_failure(server)


@pytest.mark.parametrize("pause", [0, 0.05], ids=["quick", "Hypercorn"])
@pytest.mark.parametrize(
    ("request_", "alive"),
    [
        pytest.param(upgrade(), PING_FRAME, id="ws"),
        pytest.param(get("/sse/streams"), b": keepalive", id="sse"),
        pytest.param(get("/health/live"), b"", id="rest"),
    ],
)
async def test_nothing_of_a_connection_waits_for_the_collector(server, request_, alive, pause):
    await server.garbage()
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(raw(server)) for _ in range(CLIENTS)]
        for client in clients:
            await client.send(request_[:9] if pause else request_)
        if pause:
            await asyncio.sleep(pause)
            for client in clients:
                await client.send(request_[9:])
        for client in clients:
            await client.until(b"\r\n\r\n")
        async with api_of(server) as api:
            await api.post("/api/streams", json=new_stream())
        for client in clients:
            if alive:
                await client.until(alive)
    await until_connections(server, 0, 0)
    found = await server.garbage()
    assert not [name for name in found if name.startswith(OURS)], found
    if alive:
        # A transport of asyncio's holds on to itself before Python 3.12; the one of the request above may.
        assert found.get("asyncio.selector_events._SelectorSocketTransport", 0) < CLIENTS, found


@pytest.mark.parametrize(
    ("request_", "end"),
    [
        pytest.param(get("/health/live")[:40], b" 408 ", id="too slow"),
        pytest.param(b"nonsense\r\n\r\n", b" 400 ", id="no HTTP"),
    ],
)
async def test_nothing_of_a_connection_that_the_service_ends_waits_for_the_collector(server, request_, end):
    await server.garbage()
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(raw(server, request_)) for _ in range(CLIENTS)]
        for client in clients:
            assert end in await client.until(b"\r\n\r\n")
            await client.cut()
    found = await server.garbage()
    assert not [name for name in found if name.startswith(OURS)], found
