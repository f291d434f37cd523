"""Follow the feed over Server-Sent Events: `python examples/follow_sse.py http://127.0.0.1:8000 cursor.txt`.

The file holds the last id that was dealt with, so the program goes on where it left off, whoever was restarted.
"""

import json
import random
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
from httpx_sse import SSEError, connect_sse

# Longer than the keepalive of 15 s: only a connection that is really dead is given up.
TIMEOUT = httpx.Timeout(10, read=45)


def snapshot(http: httpx.Client) -> str:
    """Load the state, and return the cursor that it already contains."""
    answer = http.get("/api/streams")
    answer.raise_for_status()
    for stream in answer.json()["streams"]:
        print("have", stream["id"], stream["status"], flush=True)
    return answer.headers["Last-Event-ID"]


def listen(http: httpx.Client, cursor: str) -> Iterator[tuple[str, dict[str, Any] | None]]:
    """Yield cursors, and the message that each stands behind, until the connection ends."""
    with connect_sse(http, "GET", "/sse/streams", headers={"Last-Event-ID": cursor}) as source:
        source.response.raise_for_status()
        for block in source.iter_sse():
            yield block.id, json.loads(block.data) if block.data else None


def follow(base: str, file: Path) -> None:
    """Follow for ever."""
    with httpx.Client(base_url=base, timeout=TIMEOUT) as http:
        while True:
            try:
                cursor = file.read_text() if file.exists() else snapshot(http)
                for id_, message in listen(http, cursor):
                    if message:
                        handle(http, message)
                    if id_:
                        keep(file, id_)  # after the work is done: at worst it is done twice, never not at all
            except (httpx.HTTPError, SSEError) as error:
                print("again soon:", error or type(error).__name__, file=sys.stderr, flush=True)
            # Jitter: all clients of a restarted service lose their connection at the same moment.
            time.sleep(random.uniform(0.5, 1.5))  # noqa: S311


def keep(file: Path, cursor: str) -> None:
    """Store the cursor whole or not at all: a file cut short by a crash would be a cursor that means something else."""
    part = file.with_suffix(".part")
    part.write_text(cursor)
    part.replace(file)


def handle(http: httpx.Client, message: dict[str, Any]) -> None:
    """Deal with one message. What is not known is ignored: the contract grows."""
    if message["event"].startswith("stream."):
        print(message["id"], message["event"], message["streamId"], message["version"], flush=True)
    elif message["event"] == "feed.reset":
        print("the cursor cannot be served:", message["reason"], flush=True)
        snapshot(http)


if __name__ == "__main__":
    follow(sys.argv[1], Path(sys.argv[2]))
