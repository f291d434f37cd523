"""Traffic through the API, as a treasury makes it."""

import asyncio
import random
import time
from collections.abc import Callable
from typing import Any, Final

import httpx

_ACCOUNTS: Final = (
    "GA7QYNF7SOWQ3GLR2BGMZEHXAVIRZA4KVWLTJJFC7MGXUA74P7UJVSGZ",
    "GBRPYHIL2CI3FNQ4BXLFMNDLFJUNPU2HY3ZMFSHONUCEOASW7QC7OX2H",
    "CA3D5KRYM6CB7OWQ6TWYRR3Z4T7GNZLKERYNZGGA5SOAOPIFY6YQGAXE",
)
_MOST_STREAMS: Final = 200


async def simulate(
    url: str, key: str, *, rate: float, seconds: float | None, told: Callable[[int, float], None]
) -> int:
    """Make `rate` writes a second until cancelled, or for so long; returns how many. Raises httpx.HTTPStatusError.

    `told` hears each second how many were made so far, and in how many seconds.
    """
    rng, count = random.Random(), 0  # noqa: S311 - traffic, not secrets
    streams: dict[str, dict[str, Any]] = {}
    began = said = time.monotonic()
    async with httpx.AsyncClient(base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=30) as client:
        while seconds is None or time.monotonic() - began < seconds:
            answer = await _write(client, rng, streams)
            answer.raise_for_status()
            count += 1
            if time.monotonic() - said >= 1:
                said = time.monotonic()
                told(count, said - began)
            await asyncio.sleep(max(0.0, began + count / rate - time.monotonic()))
    return count


async def _write(client: httpx.AsyncClient, rng: random.Random, streams: dict[str, dict[str, Any]]) -> httpx.Response:
    if not streams or (len(streams) < _MOST_STREAMS and rng.random() < 0.2):  # noqa: PLR2004 - one in five begins
        return await _begin(client, rng, streams)
    stream = streams[rng.choice(list(streams))]
    chance = rng.random()
    if chance < 0.05:  # noqa: PLR2004 - one in twenty ends
        del streams[stream["id"]]
        return await client.delete(f"/api/streams/{stream['id']}")
    if chance < 0.2:  # noqa: PLR2004
        stream["status"] = "paused" if stream["status"] == "active" else "active"
        return await client.patch(f"/api/streams/{stream['id']}", json={"status": stream["status"]})
    stream["paid"] = min(stream["deposit"], stream["paid"] + rng.randrange(1, 50))
    amounts = {"streamedAmount": str(stream["paid"]), "remainingAmount": str(stream["deposit"] - stream["paid"])}
    return await client.patch(f"/api/streams/{stream['id']}", json=amounts)


async def _begin(client: httpx.AsyncClient, rng: random.Random, streams: dict[str, dict[str, Any]]) -> httpx.Response:
    sender, recipient = rng.sample(_ACCOUNTS, 2)
    deposit = rng.randrange(100, 10_000)
    body = {"sender": sender, "recipient": recipient, "depositAmount": str(deposit), "ratePerSecond": "0.5"}
    answer = await client.post("/api/streams", json=body)
    if answer.is_success:
        stream = answer.json()
        streams[stream["id"]] = {"id": stream["id"], "status": "active", "paid": 0, "deposit": deposit}
    return answer
