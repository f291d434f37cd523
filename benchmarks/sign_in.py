"""What signing in costs: connects and fan-out, open and with tokens: `python -m benchmarks.sign_in`."""

import asyncio
import json
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any, Final

import jwt

from benchmarks.single_writes import cpu
from tests.support.data import address, created
from tests.support.server import KEY, Server

CLIENTS: Final = 400
AT_ONCE: Final = 50
BATCHES: Final = 20
SIZE: Final = 100
SECRET: Final = "a secret of at least thirty-two bytes"
OWNER: Final = address("owner")
SIGNED_IN: Final = {"read_access": "signed-in", "jwt_secret": SECRET}


class Reader:
    """Follows the feed, and counts events."""

    def __init__(self, port: int, query: str, token: str | None) -> None:
        """Connect later."""
        self._port = port
        shown = f"Authorization: Bearer {token}\r\n" if token else ""
        self._head = f"GET /sse/streams{query} HTTP/1.1\r\nHost: 127.0.0.1\r\n{shown}\r\n".encode()
        self.events = 0
        self._reader: asyncio.StreamReader
        self._writer: asyncio.StreamWriter

    async def connect(self) -> None:
        """Return when the greeting is here."""
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        self._writer.write(self._head)
        await self._reader.readuntil(b"feed.opened")

    async def follow(self, events: int) -> None:
        """Read until so many events are here."""
        rest = b""
        while self.events < events:
            found = await self._reader.read(1 << 20)
            if not found:
                raise RuntimeError("the feed ended")
            rest += found
            self.events += rest.count(b"event: stream.")
            rest = rest[-13:]

    def close(self) -> None:
        """Leave."""
        self._writer.close()


def token(number: int) -> str:
    """Return a token of somebody who may read the owner's streams; each client has one of its own."""
    claims = {"sub": OWNER, "jti": f"{number}", "exp": int(time.time()) + 3600}
    return jwt.encode(claims, SECRET, "HS256")


def publish(port: int) -> None:
    """Post one batch."""
    body = json.dumps({"events": [created(sender=OWNER) for _ in range(SIZE)]}).encode()
    asked = urllib.request.Request(
        f"http://127.0.0.1:{port}/api/events",
        body,
        {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"},
    )
    urllib.request.urlopen(asked).read()


async def measure(server: Server, query: str, *, signed_in: bool) -> tuple[float, float]:
    """Return microseconds of CPU for a connect, and for a delivery."""
    readers = [Reader(server.port, query, token(number) if signed_in else None) for number in range(CLIENTS)]
    before = cpu(server)
    for start in range(0, CLIENTS, AT_ONCE):
        await asyncio.gather(*(reader.connect() for reader in readers[start : start + AT_ONCE]))
    connected = cpu(server)
    following = [asyncio.create_task(reader.follow(BATCHES * SIZE)) for reader in readers]
    for _ in range(BATCHES):
        await asyncio.to_thread(publish, server.port)
    await asyncio.gather(*following)
    delivered = cpu(server)
    for reader in readers:
        reader.close()
    return (connected - before) / CLIENTS * 1e6, (delivered - connected) / (CLIENTS * BATCHES * SIZE) * 1e6


def main() -> None:
    """Measure three ways to the same events, several rounds in turn."""
    ways: dict[str, tuple[dict[str, Any], str, bool]] = {
        "open, a filter": ({}, f"?participant={OWNER}", False),
        "open, no filter": ({}, "", False),
        "signed in, own streams": (SIGNED_IN, "", True),
    }
    for number in range(3):
        for name, (settings, query, signed_in) in ways.items():
            with tempfile.TemporaryDirectory(prefix="fluxora-sign-in-") as folder:
                server = Server(Path(folder), max_connections_per_address=CLIENTS * 2, **settings).start()
                try:
                    connect, delivery = asyncio.run(measure(server, query, signed_in=signed_in))
                finally:
                    server.stop()
            print(f"{number + 1}. {name}: {connect:.0f} us a connect, {delivery:.2f} us a delivery")


if __name__ == "__main__":
    main()
