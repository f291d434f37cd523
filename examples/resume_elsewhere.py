"""One client, both transports: `python examples/resume_elsewhere.py http://127.0.0.1:8000`.

It takes events from one transport, hangs up, and goes on over the other with the same cursor. Ids, bytes and order are
the same on both, so nothing is missing and nothing comes twice.
"""

import asyncio
import json
import sys
from collections.abc import AsyncGenerator
from contextlib import aclosing
from itertools import cycle
from typing import Any

import httpx
import websockets
from httpx_sse import aconnect_sse

EVENTS_EACH = 3
TIMEOUT = httpx.Timeout(10, read=45)


async def by_sse(base: str, cursor: str) -> AsyncGenerator[dict[str, Any], None]:
    """Yield events after the cursor, over Server-Sent Events."""
    async with (
        httpx.AsyncClient(base_url=base, timeout=TIMEOUT) as http,
        aconnect_sse(http, "GET", "/sse/streams", headers={"Last-Event-ID": cursor}) as source,
    ):
        source.response.raise_for_status()
        async for block in source.aiter_sse():
            if block.data:
                yield json.loads(block.data)


async def by_websocket(base: str, cursor: str) -> AsyncGenerator[dict[str, Any], None]:
    """Yield events after the cursor, over WebSocket."""
    url = f"{base.replace('http', 'ws', 1)}/ws/streams?lastEventId={cursor}"
    async with websockets.connect(url) as socket:
        async for text in socket:
            yield json.loads(text)


async def follow(base: str) -> None:
    """Change over after every few events, for ever."""
    async with httpx.AsyncClient(base_url=base) as http:
        cursor = (await http.get("/api/streams")).headers["Last-Event-ID"]
    for transport in cycle([by_sse, by_websocket]):
        taken = 0
        async with aclosing(transport(base, cursor)) as messages:
            async for message in messages:
                cursor = message.get("id") or message.get("cursor") or cursor
                if not message["event"].startswith("stream."):
                    continue
                print(transport.__name__, message["id"], message["streamId"], message["version"], flush=True)
                taken += 1
                if taken == EVENTS_EACH:
                    break


if __name__ == "__main__":
    asyncio.run(follow(sys.argv[1]))
