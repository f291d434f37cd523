"""Migrations forwards and back, with data of the version before."""

import asyncio
import json
from collections.abc import Callable

import httpx
import pytest
from alembic import command
from alembic.config import Config
from asyncpg import UniqueViolationError
from databases import Database
from sqlalchemy.exc import IntegrityError, OperationalError

from app.store.migrations import MIGRATIONS
from tests.support.data import CONTRACT, address, created, stream_id, updated
from tests.support.server import KEY


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


def api_of(server) -> httpx.Client:
    return httpx.Client(base_url=server.base, timeout=20, headers={"X-API-Key": KEY})


def posted(api: httpx.Client, *events: dict) -> list[str]:
    answer = api.post("/api/events", json={"events": list(events)})
    assert answer.status_code == 200, answer.text
    return [each["action"] for each in answer.json()["results"]]


async def test_what_began_a_stream_is_known_by_the_stream_forwards_and_back(new_database, backend, make_server):
    """Nothing is taken twice, whichever revision wrote down what was taken; the log goes on where it stood."""
    url = new_database(backend)
    settings = {"backend": backend, "database_url": url}
    first, second = created(sender=address("first")), created()
    changed = updated(stream_id(first), streamedAmount="1.5")
    server = make_server(**settings)
    with api_of(server) as api:
        assert posted(api, first, changed) == ["created", "updated"]
        before = api.get("/api/events").content
    assert server.stop() == 0
    assert await rows(url, "SELECT event_index FROM chain_events") == [(changed["eventIndex"],)]
    await execute(url, "DELETE FROM stream_events WHERE id = 2")  # its number must not be given away again

    await asyncio.to_thread(migrate, url, command.downgrade, "0004")
    keys = "SELECT transaction_hash, event_index FROM chain_events"
    both = {(each["transactionHash"], each["eventIndex"]) for each in (first, changed)}
    assert set(await rows(url, keys)) == both
    assert ("0004",) not in await rows(url, "SELECT revision FROM schema_compatible")
    await asyncio.to_thread(migrate, url, command.upgrade, "head")
    assert ("0004",) in await rows(url, "SELECT revision FROM schema_compatible")
    assert set(await rows(url, keys)) == both

    server = make_server(**settings)
    with api_of(server) as api:
        assert posted(api, first, changed, second) == ["ignored", "ignored", "created"]
        after = api.get("/api/events").json()["events"]
        assert json.loads(before)["events"][0] == after[0]
        assert [int(each["id"].rpartition("-")[2]) for each in after] == [1, 3]
        found = api.get("/api/streams", params={"sender": first["sender"]}).json()["streams"]
        assert [each["id"] for each in found] == [stream_id(first)]
    assert server.stop() == 0
    assert sorted(await rows(url, "SELECT block FROM streams")) == [(0,), (1,)]


async def test_a_migration_that_fails_changes_nothing(new_database, backend, make_server):
    """A version that stands twice in the log, in two blocks of it, does not fit what was before."""
    url = new_database(backend)
    settings = {"backend": backend, "database_url": url, "retention_seconds": 3_000_000_000}
    assert make_server(**settings).stop() == 0
    for seq in (1, 1 << 14):
        await execute(
            url,
            "INSERT INTO stream_events (id, event, stream_id, version, sender, recipient, body, created_at)"
            f" VALUES ({seq}, 'stream.created', 'stream-1', 1, 'A', 'B', :body, '2026-01-01T00:00:00.000Z')",
            body=OLD_BODY,
        )
    with pytest.raises((IntegrityError, UniqueViolationError)):
        await asyncio.to_thread(migrate, url, command.downgrade, "0004")
    assert await rows(url, "SELECT version_num FROM alembic_version") == [("0005",)]
    server = make_server(**settings)
    with api_of(server) as api:
        assert len(api.get("/api/events", params={"streamId": "stream-1"}).json()["events"]) == 2
    assert server.stop() == 0


async def test_a_migration_that_failed_half_way_can_be_run_again(new_database):
    url = new_database("sqlite")
    await asyncio.to_thread(migrate, url, command.upgrade, "0004")
    await execute(url, "CREATE TABLE stream_events_new (id INTEGER)")
    with pytest.raises(OperationalError):
        await asyncio.to_thread(migrate, url, command.upgrade, "head")
    await execute(url, "DROP TABLE stream_events_new")
    await asyncio.to_thread(migrate, url, command.upgrade, "head")
    assert await rows(url, "SELECT version_num FROM alembic_version") == [("0005",)]


async def test_events_are_compressed_quickly_where_the_server_can(new_database):
    url = new_database("postgresql")
    await asyncio.to_thread(migrate, url, command.upgrade, "head")
    can = "SELECT 'lz4' = ANY(enumvals) FROM pg_settings WHERE name = 'default_toast_compression'"
    way = (
        "SELECT attcompression::text FROM pg_attribute WHERE attname = 'body' AND attrelid = 'stream_events'::regclass"
    )
    if await rows(url, can) != [(True,)]:
        pytest.skip("this server has no LZ4")
    assert await rows(url, way) == [("l",)]
