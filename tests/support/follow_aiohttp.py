"""Follows the feed with aiohttp, as its documents do; prints each event's id. Argument: the feed's address."""

import asyncio
import sys

import aiohttp


async def follow(base: str) -> None:
    """Come back with the cursor, whatever happens."""
    cursor: dict[str, str] = {}
    async with aiohttp.ClientSession() as session:
        while True:
            try:
                async with session.ws_connect(f"{base}/ws/streams", params=cursor, heartbeat=30) as feed:
                    async for each in feed:
                        message = each.json()
                        cursor = {"lastEventId": message.get("id") or message["cursor"]}
                        print(message.get("id") or message["event"], flush=True)
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(0.2)


if __name__ == "__main__":
    asyncio.run(follow(sys.argv[1]))
