"""The chain's scripts through the API."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import httpx
import orjson
from databases import Database

from app.core.contract.record import stream_of
from tests.support.chain import raw_item


def hint_item(row: Mapping[str, Any]) -> dict[str, Any]:
    """What an indexer that reads envelopes posts beside an event."""
    hint = {
        "type": "ChainFunction",
        "transactionHash": row["txHash"],
        "function": row["function"],
        "kind": row.get("kind"),
        "eventIndex": row["eventIndex"],
    }
    return {name: value for name, value in hint.items() if value is not None}


def configured(script: Mapping[str, Any], *, token: bool = True) -> str:
    return f"{script['contract']}:{script['decimals']}" + (f":{script['token']}" if token else "")


async def post(api: httpx.AsyncClient, rows: Sequence[Mapping[str, Any]], *, hints: bool) -> list[dict[str, Any]]:
    """Post rows; return the results of the rows alone."""
    items = [raw_item(row) for row in rows]
    hinted = [hint_item(row) for row in rows if row.get("function")] if hints else []
    results: list[dict[str, Any]] = []
    for start in range(0, len(items), 300):
        chosen = {item["txHash"] for item in items[start : start + 300]}
        beside = [hint for hint in hinted if hint["transactionHash"] in chosen]
        answer = await api.post("/api/events", json={"events": beside + items[start : start + 300]})
        assert answer.status_code == 200, answer.text
        results += answer.json()["results"][len(beside) :]
    return results


async def stored(url: str) -> dict[str, Any]:
    """The chain streams as the database has them, by their number on the chain."""
    async with Database(url) as database:
        rows = await database.fetch_all("SELECT chain_stream_id, chain FROM streams WHERE chain IS NOT NULL")
    return {row["chain_stream_id"]: stream_of(orjson.loads(row["chain"])) for row in rows}


async def log_of(api: httpx.AsyncClient, **filters: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    cursor = ""
    while True:
        params = {"limit": 1000, **filters} | ({"after": cursor} if cursor else {})
        page = (await api.get("/api/events", params=params)).json()
        found += page["events"]
        if page["cursor"] == cursor or not page["events"]:
            return found
        cursor = page["cursor"]
        await asyncio.sleep(0)
