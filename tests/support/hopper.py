"""Cheap clients that move from process to process with their cursor, and what they missed, held against the log."""

import asyncio
import random
import re
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise

from tests.support.server import Server

_EVENT = re.compile(rb'\{"id":"([a-z0-9]+)-(\d+)","event":"stream\.[^\n]*?"timestamp":"[^"]*"\}')


@dataclass(frozen=True)
class Verdict:
    """What is wrong with the ids that somebody got, beside those that the log has."""

    missing: int
    repeated: int
    inverted: int
    foreign: int


FLAWLESS = Verdict(0, 0, 0, 0)


def judge(got: Sequence[int], log: Sequence[int]) -> Verdict:
    known, taken = set(log), set(got)
    inverted = sum(later < earlier for earlier, later in pairwise(got))
    return Verdict(len(known - taken), len(got) - len(taken), inverted, len(taken - known))


class Hopper:
    """Follows the feed on one process after the other, on one transport after the other. An event counts when whole."""

    def __init__(self, servers: Sequence[Server], cursor: str, *, stay: tuple[float, float] = (0.3, 1.5)) -> None:
        self.servers = servers
        self.cursor = cursor
        self.stay = stay
        self.got: list[int] = []
        self.times: dict[int, float] = {}
        self.resets = self.hops = 0

    async def run(self) -> None:
        transports = ["/ws/streams", "/sse/streams"]
        random.shuffle(transports)
        while True:
            server = random.choice(self.servers)
            with suppress(OSError, TimeoutError):
                async with asyncio.timeout(random.uniform(*self.stay)):
                    await self._follow(server, transports[self.hops % 2])
            self.hops += 1
            await asyncio.sleep(0.01)

    async def _follow(self, server: Server, path: str) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=1 << 20)
        upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        extra = upgrade + key if path.startswith("/ws") else ""
        try:
            request = f"GET {path}?lastEventId={self.cursor} HTTP/1.1\r\nHost: x\r\n{extra}\r\n"
            writer.write(request.encode())
            left = b""
            while data := await reader.read(1 << 18):
                left = self._take(left + data)
        finally:
            writer.transport.abort()

    def _take(self, data: bytes) -> bytes:
        end = 0
        for match in _EVENT.finditer(data):
            end = match.end()
            last, seq = match, int(match[2])
            self.got.append(seq)
            self.times[seq] = time.perf_counter()
        if end:
            self.cursor = f"{last[1].decode()}-{last[2].decode()}"
        self.resets += data.count(b'"event":"feed.reset"', end)
        return data[end:][-100_000:]
