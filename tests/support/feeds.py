"""A client of either feed, with one face: what came, in order. Built on other people's clients."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import httpx
import websockets
from httpx_sse import aconnect_sse

from tests.support.server import Server

TRANSPORTS = ("websocket", "sse")
ABOUT = {"feed.opened", "feed.position", "feed.closing"}


class FeedClient:
    """Collects messages; those about the connection alone (`feed.opened` and its like) in `about`.

    `cursor` is what to resume with. `ended` is set when the server ended the feed.
    """

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []
        self.about: list[dict[str, Any]] = []
        self.raw: list[str] = []
        self.cursor: str | None = None
        self.ids: list[str] = []
        self.retry: int | None = None
        self.ended = asyncio.Event()
        self.close_code: int | None = None
        self.close_reason = ""
        self._news = asyncio.Event()

    @property
    def events(self) -> list[dict[str, Any]]:
        return [message for message in self.messages if message["event"].startswith("stream.")]

    def take(self, text: str, last_id: str | None = None) -> None:
        message = json.loads(text)
        if message["event"] in ABOUT:
            self.about.append(message)
        else:
            self.raw.append(text)
            self.messages.append(message)
        self.cursor = last_id or message.get("id") or message.get("cursor") or self.cursor
        self._news.set()

    async def until(self, condition, seconds: float = 15) -> None:
        async with asyncio.timeout(seconds):
            while not condition():
                self._news.clear()
                await self._news.wait()

    async def count(self, events: int, seconds: float = 15) -> list[dict[str, Any]]:
        await self.until(lambda: len(self.events) >= events, seconds)
        return self.events

    async def told(self, name: str, seconds: float = 15) -> dict[str, Any]:
        """The first message of a name about the connection."""
        await self.until(lambda: any(m["event"] == name for m in self.about), seconds)
        return next(m for m in self.about if m["event"] == name)

    async def message(self, name: str, seconds: float = 15) -> dict[str, Any]:
        await self.until(lambda: any(m["event"] == name for m in self.messages), seconds)
        return next(m for m in self.messages if m["event"] == name)


@asynccontextmanager
async def follow(
    server: Server, transport: str, cursor: str | None = None, client: FeedClient | None = None, **filters: Any
) -> AsyncIterator[FeedClient]:
    """Follow a feed; `client` goes on with an earlier client's collection."""
    client = client or FeedClient()
    client.ended = asyncio.Event()
    reading = _websocket if transport == "websocket" else _sse
    ready = asyncio.Event()
    task = asyncio.create_task(reading(server, client, ready, cursor, filters))
    waiting = asyncio.create_task(ready.wait())
    await asyncio.wait({task, waiting}, return_when=asyncio.FIRST_COMPLETED, timeout=15)
    waiting.cancel()
    if task.done():
        task.result()
    try:
        yield client
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _websocket(server: Server, client: FeedClient, ready, cursor, filters) -> None:
    query = httpx.QueryParams({**filters, **({"lastEventId": cursor} if cursor else {})})
    async with websockets.connect(
        f"{server.ws}?{query}", compression=None, max_size=None, max_queue=None
    ) as connection:
        client.connection = connection  # type: ignore[attr-defined]
        # Subscribed by the time that the answer to a ping is here.
        await (await connection.ping())
        ready.set()
        try:
            async for text in connection:
                client.take(str(text))
        except websockets.ConnectionClosed:
            pass
        client.close_code, client.close_reason = connection.close_code, connection.close_reason or ""
        client.ended.set()
        client._news.set()


async def _sse(server: Server, client: FeedClient, ready, cursor, filters) -> None:
    headers = {"Last-Event-ID": cursor} if cursor else {}
    async with (
        httpx.AsyncClient(timeout=None) as http,
        aconnect_sse(http, "GET", f"{server.base}/sse/streams", params=filters, headers=headers) as source,
    ):
        source.response.raise_for_status()
        if filters.get("greeting") == "false":
            ready.set()  # nothing is said before the first event
        with suppress(httpx.TransportError):
            async for event in source.aiter_sse():
                ready.set()
                client.retry = event.retry or client.retry
                if event.id:
                    client.ids.append(event.id)
                    client.cursor = event.id
                if event.data:
                    assert json.loads(event.data)["event"] == event.event
                    client.take(event.data, event.id)
    client.ended.set()
    client._news.set()
