"""Backups of SQLite: taken while the service writes, and never mistaken for the history that was lost."""

import asyncio
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import httpx

from tests.conftest import api_of
from tests.lifecycle.test_start import refusal
from tests.support.data import new_stream
from tests.support.feeds import follow
from tests.support.server import run_app


async def fill(server, count: int) -> None:
    async with api_of(server) as api:
        for _ in range(count):
            assert (await api.post("/api/streams", json=new_stream())).status_code == 201


def streams_in(path) -> int:
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        return database.execute("SELECT count(*) FROM streams").fetchone()[0]


async def test_a_backup_of_the_live_file_has_all_of_it_where_a_copy_has_not(make_server, tmp_path):
    server = make_server()
    await fill(server, 50)
    writing = asyncio.create_task(fill(server, 30))
    done = await asyncio.to_thread(run_app, "backup", str(tmp_path / "copy"), cwd=tmp_path, **server.settings)
    assert (done.returncode, done.stderr) == (0, "")
    assert 50 <= streams_in(tmp_path / "copy") <= 80
    await writing
    assert f"{streams_in(tmp_path / 'copy')} streams" in done.stdout
    assert [each.name for each in tmp_path.glob("copy*")] == ["copy"]
    database = str(server.settings["database_url"]).removeprefix("sqlite:///")
    shutil.copy(database, tmp_path / "bare")
    assert streams_in(tmp_path / "bare") < 80, "a bare copy lacks what is in the WAL: this is what backup is for"


async def test_a_restore_is_another_history_and_clients_are_told(make_server, tmp_path):
    server = make_server(poll_interval=0.2)
    await fill(server, 3)
    await asyncio.to_thread(run_app, "backup", str(tmp_path / "copy"), cwd=tmp_path, **server.settings)
    await fill(server, 2)
    lost = httpx.get(f"{server.base}/health").json()["log"]["head"]
    assert server.stop() == 0
    done = await asyncio.to_thread(run_app, "restore", str(tmp_path / "copy"), cwd=tmp_path, **server.settings)
    assert (done.returncode, done.stderr) == (0, "")
    assert "3 streams, 3 events; what was there is" in done.stdout
    await asyncio.to_thread(server.start)
    assert len(httpx.get(f"{server.base}/api/streams").json()["streams"]) == 3
    for transport in ("websocket", "sse"):
        async with follow(server, transport, cursor=lost) as client:
            assert (await client.message("feed.reset"))["reason"] == "epoch"
    database = Path(str(server.settings["database_url"]).removeprefix("sqlite:///"))
    kept = next(path for path in database.parent.glob("*.before-*") if not path.name.endswith(("-wal", "-shm")))
    assert streams_in(kept) == 5


async def test_a_restore_under_a_running_service_resets_its_feeds(make_server, tmp_path):
    server = make_server(poll_interval=0.2)
    await fill(server, 2)
    await asyncio.to_thread(run_app, "backup", str(tmp_path / "copy"), cwd=tmp_path, **server.settings)
    async with follow(server, "websocket") as one, follow(server, "sse") as two:
        done = await asyncio.to_thread(run_app, "restore", str(tmp_path / "copy"), cwd=tmp_path, **server.settings)
        assert done.returncode == 0, done.stderr
        for client in (one, two):
            assert (await client.message("feed.reset"))["reason"] == "epoch"
        await fill(server, 1)
        for client in (one, two):
            await client.count(1)


def test_what_is_no_backup_changes_nothing(make_server, tmp_path):
    server = make_server()
    copy = tmp_path / "copy"
    settings = {"cwd": tmp_path, **server.settings}
    assert "no file" in refusal(run_app("restore", str(copy), **settings))
    for content in (b"", b"text", b"SQLite format 3\0" + bytes(4096)):
        copy.write_bytes(content)
        assert "copy" in refusal(run_app("restore", str(copy), **settings))
        assert "exists already" in refusal(run_app("backup", str(copy), **settings))
    assert not list(tmp_path.rglob("*.part"))
    assert httpx.get(f"{server.base}/health/ready").status_code == 200
    missing = tmp_path / "no" / "copy"
    assert "cannot be written" in refusal(run_app("backup", str(missing), **settings))
    elsewhere = {"cwd": tmp_path, "database_url": "postgresql://127.0.0.1/x"}
    for command in ("backup", "restore"):
        assert "pg_dump" in refusal(run_app(command, str(tmp_path / "new"), **elsewhere))
