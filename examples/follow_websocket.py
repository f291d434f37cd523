"""Follow the feed over WebSocket: `python examples/follow_websocket.py http://127.0.0.1:8000 cursor.txt`.

The file holds the last cursor that was dealt with, so the program goes on where it left off, whoever was restarted.
"""

import asyncio
import json
import random
import sys
from pathlib import Path
from typing import Any

import httpx
import websockets


async def snapshot(base: str) -> str:
    """Load the state, and return the cursor that it already contains."""
    async with httpx.AsyncClient(base_url=base) as http:
        answer = await http.get("/api/streams")
    answer.raise_for_status()
    for stream in answer.json()["streams"]:
        print("have", stream["id"], stream["status"], flush=True)
    return answer.headers["Last-Event-ID"]


async def listen(base: str, file: Path) -> None:
    """Follow from the cursor in the file until the connection ends."""
    if not file.exists():
        keep(file, await snapshot(base))
    url = (
        httpx.URL(base.replace("http", "ws", 1))
        .join("/ws/streams")
        .copy_merge_params({"lastEventId": file.read_text()})
    )
    async with websockets.connect(str(url)) as socket:
        async for text in socket:
            message = json.loads(text)
            await handle(base, message)
            # An event has an id, the service's own messages have a cursor, and some have neither.
            if cursor := message.get("id") or message.get("cursor"):
                keep(file, cursor)


def keep(file: Path, cursor: str) -> None:
    """Store the cursor whole or not at all: a file cut short by a crash would be a cursor that means something else."""
    part = file.with_suffix(".part")
    part.write_text(cursor)
    part.replace(file)


async def handle(base: str, message: dict[str, Any]) -> None:
    """Deal with one message. What is not known is ignored: the contract grows."""
    if message["event"].startswith("stream."):
        print(message["id"], message["event"], message["streamId"], message["version"], flush=True)
    elif message["event"] == "feed.reset":
        print("the cursor cannot be served:", message["reason"], flush=True)
        await snapshot(base)


async def follow(base: str, file: Path) -> None:
    """Follow for ever."""
    while True:
        try:
            await listen(base, file)
        except (OSError, httpx.HTTPError, websockets.WebSocketException) as error:
            print("again soon:", error or type(error).__name__, file=sys.stderr, flush=True)
        # Jitter: all clients of a restarted service lose their connection at the same moment.
        await asyncio.sleep(random.uniform(0.5, 1.5))  # noqa: S311


if __name__ == "__main__":
    asyncio.run(follow(sys.argv[1], Path(sys.argv[2])))
