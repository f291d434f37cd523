"""Several processes of the service on one PostgreSQL, those who write to them, and what they say of themselves."""

import asyncio
import random
import time

import asyncpg
import httpx

from tests.conftest import api_of
from tests.support.data import created
from tests.support.server import KEY, Server

BATCH = 500


async def sql(server: Server, statement: str, *arguments: object) -> list:
    connection = await asyncpg.connect(str(server.settings["database_url"]))
    try:
        return await connection.fetch(statement, *arguments)
    finally:
        await connection.close()


async def health(server: Server) -> dict:
    async with api_of(server) as api:
        return (await api.get("/health")).json()


async def head(server: Server) -> str:
    return (await health(server))["log"]["head"]


async def logged(server: Server, event: str, count: int, seconds: float) -> float:
    """Wait until the process has logged this so many times; returns how long it took."""
    begun = time.monotonic()
    while len(server.logged(event)) < count:
        assert time.monotonic() - begun < seconds, f"no {event} within {seconds} s: {server.lines}"
        await asyncio.sleep(0.02)
    return time.monotonic() - begun


class Indexers:
    """Write batches to any process until stopped, each again and again until it is answered."""

    def __init__(self, servers: list[Server], count: int) -> None:
        self.servers = servers
        self.count = count
        self.stopped = False
        self.written = self.failed = 0

    async def __aenter__(self) -> "Indexers":
        self.tasks = [asyncio.create_task(self._write()) for _ in range(self.count)]
        return self

    async def __aexit__(self, *_: object) -> None:
        self.stopped = True
        await asyncio.gather(*self.tasks)

    async def _write(self) -> None:
        async with httpx.AsyncClient(headers={"X-API-Key": KEY}, timeout=15) as http:
            while not self.stopped:
                batch = {"events": [created() for _ in range(BATCH)]}
                while not await self._answered(http, batch):
                    self.failed += 1
                    await asyncio.sleep(0.1)
                self.written += BATCH

    async def _answered(self, http: httpx.AsyncClient, batch: dict) -> bool:
        try:
            answer = await http.post(f"{random.choice(self.servers).base}/api/events", json=batch)
        except httpx.TransportError:
            return False
        assert answer.status_code in {200, 503}, answer.text
        assert answer.status_code == 503 or answer.json()["rejected"] == 0
        return answer.status_code == 200
