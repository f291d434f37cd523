"""Two thousand sockets that send a byte now and then, while others read who have signed in."""

import asyncio
import itertools
import time
from contextlib import AsyncExitStack

import pytest

from app.server.resources import raise_open_files
from tests.conftest import api_of
from tests.edges.test_access import SECRET, listen, token
from tests.support.data import address, new_stream
from tests.support.server import KEY

SOCKETS, SECONDS = 2000, 4
ALICE = address("alice")
PARTS = {
    "heads": b"GET /api/streams HTTP/1.1\r\nHost: x\r\n",
    "tokens": b"GET /sse/streams HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ",
    "bodies": b"POST /api/streams HTTP/1.1\r\nHost: x\r\nX-API-Key: %b\r\nContent-Type: application/json\r\n"
    b"Content-Length: 4096\r\n\r\n{" % KEY.encode(),
}


class Slow:
    """One that never gets to the end of what it sends."""

    def __init__(self, part: bytes) -> None:
        self.part = part
        self.answer = b""
        self.seconds = 0.0

    async def run(self, port: int) -> None:
        began = time.monotonic()
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(self.part)
            reading = asyncio.create_task(reader.read(16))
            while not reading.done():
                await asyncio.wait({reading}, timeout=1)
                writer.write(b"x")
            self.answer = reading.result()
            writer.close()
        except ConnectionError:
            pass
        self.seconds = time.monotonic() - began


async def delays(api, client) -> list[float]:
    """From before a write until its event is there, in seconds; 20 a second."""
    found = []
    for _ in range(SECONDS * 10):
        had, began = len(client.events), time.perf_counter()
        await api.post("/api/streams", json=new_stream(sender=ALICE))
        await client.count(had + 1)
        found.append(time.perf_counter() - began)
        await asyncio.sleep(0.05)
    return sorted(found)


@pytest.mark.timeout(90)
async def test_two_thousand_slow_senders_delay_nobody_who_has_signed_in(make_server):
    raise_open_files()
    server = make_server(
        read_access="signed-in", jwt_secret=SECRET, request_timeout=SECONDS, max_request_connections=4 * SOCKETS
    )
    async with AsyncExitStack() as stack:
        api = await stack.enter_async_context(api_of(server))
        client = await stack.enter_async_context(listen(server, "websocket", token(ALICE)))
        quiet = await delays(api, client)
        slow = [Slow(part) for part, _ in zip(itertools.cycle(PARTS.values()), range(SOCKETS), strict=False)]
        running = asyncio.gather(*(each.run(server.port) for each in slow))
        await asyncio.sleep(1.5)
        assert not any(each.seconds for each in slow), "they are there"
        beside = await delays(api, client)
        await asyncio.wait_for(running, 30)
    # The senders run in the tests' process, and other tests beside it: now and then one waits for the machine.
    middle, most = len(quiet) // 2, len(quiet) * 9 // 10
    print("median and nine tenths, ms:", *(round(each[at] * 1e3) for each in (quiet, beside) for at in (middle, most)))
    assert beside[middle] < max(0.1, 3 * quiet[middle])
    assert beside[most] < max(0.5, 3 * quiet[most])
    for name, part in PARTS.items():
        those = [each for each in slow if each.part == part]
        assert max(each.seconds for each in those) < SECONDS + 4, name
        assert {each.answer[:12] for each in those} == {b"HTTP/1.1 408"}, name
