"""Migrations forwards and back, with data of the version before."""

import asyncio
from collections.abc import Callable

import httpx
from alembic import command
from alembic.config import Config
from databases import Database

from app.store.migrations import MIGRATIONS
from tests.support.data import CONTRACT


def migrate(url: str, go: Callable[[Config, str], None], revision: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["database_url"] = url
    go(config, revision)


async def rows(url: str, query: str) -> list[tuple]:
    async with Database(url) as database:
        return [tuple(row._mapping.values()) for row in await database.fetch_all(query)]


async def execute(url: str, query: str, **values: str) -> None:
    async with Database(url) as database:
        await database.execute(query, values)


OLD_BODY = '{"event":"stream.created","streamId":"stream-1","version":1,"payload":{"id":"stream-1"},"changed":[]}'


async def test_old_events_stay_byte_for_byte_and_are_found_by_their_contract(new_database, backend, make_server):
    url = new_database(backend)
    await asyncio.to_thread(migrate, url, command.upgrade, "0001")
    columns = (
        "id, sender, recipient, deposit_amount, streamed_amount, remaining_amount, rate_per_second, start_time,"
        " end_time, status, contract_id, transaction_hash, event_index, version, created_at, updated_at"
    )
    moment = "2026-01-01T00:00:00.000Z"
    await execute(
        url,
        f"INSERT INTO streams ({columns}) VALUES ('stream-1', 'A', 'B', '10', '0', '10', '1', 0, 0, 'active',"
        f" '{CONTRACT}', NULL, NULL, 1, :moment, :moment)",
        moment=moment,
    )
    await execute(
        url,
        "INSERT INTO stream_events (event, stream_id, version, sender, recipient, body, created_at)"
        " VALUES ('stream.created', 'stream-1', 1, 'A', 'B', :body, :moment)",
        body=OLD_BODY,
        moment=moment,
    )
    server = make_server(backend=backend, database_url=url, retention_seconds=3_000_000_000)
    with httpx.Client(base_url=server.base) as api:
        page = api.get("/api/events")
        assert OLD_BODY[1:].encode() in page.content
        assert api.get("/api/streams/stream-1").json()["depositAmount"] == "10"
    assert server.stop() == 0
    assert await rows(url, "SELECT contract_id, cause, body FROM stream_events") == [(CONTRACT, None, OLD_BODY)]
    await asyncio.to_thread(migrate, url, command.downgrade, "0001")
    assert await rows(url, "SELECT body FROM stream_events") == [(OLD_BODY,)]
    assert await rows(url, "SELECT id, contract_id FROM streams") == [("stream-1", CONTRACT)]
    await asyncio.to_thread(migrate, url, command.upgrade, "head")
    assert await rows(url, "SELECT contract_id, body FROM stream_events") == [(CONTRACT, OLD_BODY)]
