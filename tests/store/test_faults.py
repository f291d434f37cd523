"""What an operator must mend: told in the log and in /health, refused with 503, and over when it is mended."""

import asyncio
import shutil
import sqlite3
from pathlib import Path

import asyncpg
import httpx
import pytest

from tests.conftest import api_of
from tests.support.data import new_stream
from tests.support.feeds import follow
from tests.support.server import Server


def health(server: Server) -> dict:
    return httpx.get(f"{server.base}/health").json()


def reasons(server: Server) -> str:
    found = health(server)
    assert found["status"] == "degraded"
    return " ".join(outage["reason"] for outage in found["outages"])


@pytest.fixture
def on_file(tmp_path):
    server = Server(tmp_path, database_url=f"sqlite:///{tmp_path}/x.db", poll_interval=0.1).start()
    yield server
    server.kill()


def copy_to(source: Path, target: Path) -> None:
    with sqlite3.connect(source) as one, sqlite3.connect(target) as two:
        one.backup(two)
    one.close()
    two.close()


async def test_a_file_that_is_replaced_by_its_backup_is_another_history(on_file, tmp_path):
    async with api_of(on_file) as api, follow(on_file, "websocket") as one, follow(on_file, "sse") as two:
        assert (await api.post("/api/streams", json=new_stream())).status_code == 201
        copy_to(tmp_path / "x.db", tmp_path / "backup.db")
        for _ in range(3):
            assert (await api.post("/api/streams", json=new_stream())).status_code == 201
        before = (await one.count(4))[-1]["id"]
        await two.count(4)
        (tmp_path / "backup.db").replace(tmp_path / "x.db")
        for client in (one, two):
            reset = await client.message("feed.reset")
            assert reset["reason"] == "epoch"
            assert reset["cursor"].split("-")[0] != before.split("-")[0]
        assert on_file.logged("database_file_replaced")
        assert (await api.post("/api/streams", json=new_stream())).status_code == 201
        for client in (one, two):
            assert (await client.count(5))[-1]["id"].split("-")[0] == reset["cursor"].split("-")[0]
        assert len((await api.get("/api/events")).json()["events"]) == 2
    assert on_file.stop() == 0


async def test_a_file_that_is_deleted_is_told_and_refused(on_file, tmp_path):
    async with api_of(on_file) as api, follow(on_file, "websocket") as one:
        assert (await api.post("/api/streams", json=new_stream())).status_code == 201
        shutil.move(tmp_path / "x.db", tmp_path / "elsewhere.db")
        await one.message("service.degraded")
        assert "x.db is gone" in reasons(on_file)
        assert (await api.post("/api/streams", json=new_stream())).status_code == 503
        assert (await api.get("/api/streams")).status_code == 503
        assert any("x.db is gone" in line["reason"] for line in on_file.logged("database_unreachable"))
        shutil.move(tmp_path / "elsewhere.db", tmp_path / "x.db")
        await one.message("service.recovered")
        assert (await api.post("/api/streams", json=new_stream())).status_code == 201


async def test_a_file_that_is_damaged_is_told_and_refused(on_file, tmp_path):
    async with api_of(on_file) as api, follow(on_file, "websocket") as one:
        for _ in range(20):
            assert (await api.post("/api/streams", json=new_stream())).status_code == 201
        with sqlite3.connect(tmp_path / "x.db") as database:
            database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        database.close()
        (tmp_path / "damaged.db").write_bytes(b"no database at all, " * 4000)
        (tmp_path / "damaged.db").replace(tmp_path / "x.db")
        await one.message("service.degraded")
        assert "database" in reasons(on_file)
        assert (await api.post("/api/streams", json=new_stream())).status_code == 503
        assert (await api.get("/api/streams")).status_code == 503


async def execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    await connection.execute(statement)
    await connection.close()


@pytest.mark.postgresql
async def test_tables_without_their_sequence_are_told_and_refused(cluster, tmp_path):
    url = cluster.create_database("sequence")
    server = Server(tmp_path, database_url=url, poll_interval=0.1).start()
    async with api_of(server) as api, follow(server, "websocket") as one:
        for _ in range(3):
            assert (await api.post("/api/streams", json=new_stream())).status_code == 201
        await execute(url, "SELECT setval('stream_events_id_seq', 1)")
        assert (await api.post("/api/streams", json=new_stream())).status_code == 503
        assert "sequence is behind" in reasons(server)
        assert server.logged("writes_refused")
        assert (await one.message("service.degraded"))["source"] == "writes"
        await execute(url, "SELECT setval('stream_events_id_seq', 50)")
        assert (await api.post("/api/streams", json=new_stream())).status_code == 201
        await one.message("service.recovered")
        assert health(server)["status"] == "ok"
        assert len(await one.count(4)) == 4
    assert server.stop() == 0
    await execute(url, "SELECT setval('stream_events_id_seq', 1, false)")
    await asyncio.to_thread(server.start)
    assert "sequence is behind" in reasons(server), "told at the start, before anybody writes"
    assert server.logged("writes_refused")
    await execute(url, "SELECT setval('stream_events_id_seq', 500)")
    async with api_of(server) as api:
        answer = await api.post("/api/streams", json=new_stream())
        assert answer.status_code == 201, answer.text
    assert health(server)["status"] == "ok"
    assert server.stop() == 0


@pytest.mark.postgresql
@pytest.mark.parametrize("right", ["INSERT ON stream_events", "UPDATE ON log_state", "SELECT ON stream_events"])
async def test_a_right_that_is_missing_is_told_and_refused(cluster, tmp_path, right):
    name = f"rights_{abs(hash(right))}"
    url = cluster.create_database(name)
    user = f"user_{name}"
    server = Server(tmp_path, database_url=url)
    for statement in (
        f"CREATE ROLE {user} LOGIN",
        f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {user}",
        f"GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO {user}",
        f"GRANT EXECUTE ON FUNCTION pg_control_system() TO {user}",
    ):
        await execute(url, statement)
    server.settings.update(database_url=url.replace("postgres@", f"{user}@"), poll_interval=0.1, prune_interval=0.1)
    await asyncio.to_thread(server.start)
    async with api_of(server) as api:
        assert (await api.post("/api/streams", json=new_stream())).status_code == 201
        await execute(url, f"REVOKE {right} FROM {user}")
        if "log_state" not in right:
            assert (await api.post("/api/streams", json=new_stream())).status_code == 503
            assert "permission denied" in reasons(server)
        await execute(url, f"GRANT {right} TO {user}")
        assert (await api.post("/api/streams", json=new_stream())).status_code == 201
    assert server.stop() == 0
