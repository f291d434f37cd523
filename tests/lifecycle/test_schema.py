"""Schema and epoch: which history of the log this is, and that another one is never taken for it."""

import asyncio
import sqlite3
import threading
from urllib.parse import urlsplit

import asyncpg
import httpx
import pytest

from app.store.tables import SCHEMA_REVISION, metadata
from tests.conftest import api_of
from tests.lifecycle.test_start import refusal
from tests.support.data import new_stream
from tests.support.feeds import follow
from tests.support.server import KEY, run_app

TABLES = (*(table.name for table in metadata.sorted_tables), "alembic_version")


def execute(url: str, *statements: str) -> None:
    """Run statements as somebody else, beside the service."""
    if url.startswith("sqlite"):
        with sqlite3.connect(url.removeprefix("sqlite:///"), timeout=20) as database:
            for statement in statements:
                database.execute(statement)
        database.close()
        return

    async def run() -> None:
        connection = await asyncpg.connect(url)
        for statement in statements:
            await connection.execute(statement)
        await connection.close()

    thread = threading.Thread(target=lambda: asyncio.run(run()))
    thread.start()
    thread.join()


def epoch_of(server) -> str:
    return httpx.get(f"{server.base}/health").json()["log"]["epoch"]


async def test_a_restart_is_the_same_epoch_and_a_new_one_resets_both_feeds(make_server, backend):
    server = make_server(backend=backend)
    async with api_of(server) as api:
        await api.post("/api/streams", json=new_stream())
    head = httpx.get(f"{server.base}/health").json()["log"]["head"]
    await asyncio.to_thread(server.restart)
    assert httpx.get(f"{server.base}/health").json()["log"]["head"] == head
    async with follow(server, "websocket") as one, follow(server, "sse") as two:
        done = await asyncio.to_thread(run_app, "new-epoch", cwd=server.cwd, **server.settings)
        assert (done.returncode, done.stderr) == (0, "")
        for client in (one, two):
            reset = await client.message("feed.reset")
            assert reset["reason"] == "epoch"
            assert not reset["cursor"].startswith(head.split("-")[0])
            assert int(reset["cursor"].split("-")[1]) >= int(head.split("-")[1])
    answer = httpx.get(f"{server.base}/api/events", params={"after": head})
    assert (answer.status_code, answer.json()["reason"]) == (410, "epoch")


async def test_a_log_that_is_dropped_and_made_again_under_a_running_service(make_server, backend):
    """Meanwhile it is out of order, and says so; afterwards it is another history, and nobody had to reconnect."""
    server = make_server(backend=backend, poll_interval=0.1)
    url = server.settings["database_url"]
    async with api_of(server) as api, follow(server, "websocket") as one, follow(server, "sse") as two:
        await api.post("/api/streams", json=new_stream())
        before = (await one.count(1))[0]["id"]
        await two.count(1)
        execute(url, *(f"DROP TABLE {table}" for table in TABLES))
        for client in (one, two):
            assert (await client.message("service.degraded"))["source"] == "database"
        refused = await api.post("/api/streams", json=new_stream())
        assert (refused.status_code, int(refused.headers["Retry-After"]) > 0) == (503, True)
        assert (await api.get("/health/ready")).status_code == 503
        done = await asyncio.to_thread(run_app, "migrate", cwd=server.cwd, **server.settings)
        assert done.returncode == 0, done.stderr
        for client in (one, two):
            await client.message("service.recovered")
            assert (await client.message("feed.reset"))["reason"] == "epoch"
        assert (await api.post("/api/streams", json=new_stream())).status_code == 201
        for client in (one, two):
            after = (await client.count(2))[1]["id"]
            assert after.split("-")[0] == epoch_of(server) != before.split("-")[0]


@pytest.mark.postgresql
def test_a_copy_of_a_database_is_another_epoch(make_server, new_database):
    """It has the same rows, token included, and will have other events under the same numbers."""
    original = make_server(backend="postgresql")
    epoch = epoch_of(original)
    assert original.stop() == 0
    url = str(original.settings["database_url"])
    name = urlsplit(url).path[1:]
    execute(url.replace(f"/{name}", "/postgres"), f'CREATE DATABASE "{name}_copy" TEMPLATE "{name}"')
    copy = make_server(database_url=url.replace(f"/{name}", f"/{name}_copy"))
    assert epoch_of(copy) != epoch
    assert copy.stop() == 0


def test_no_command_makes_a_database_but_migrate(tmp_path):
    for path in (tmp_path / "x.db", tmp_path / "no" / "x.db"):
        for command in ((), ("new-epoch",)):
            done = run_app(*command, cwd=tmp_path, port=0, database_url=f"sqlite:///{path}")
            assert "python -m app migrate" in refusal(done)
            assert len(done.stderr.splitlines()) == 1
            assert not path.exists()
    assert "unable to open" in refusal(run_app("migrate", cwd=tmp_path, database_url=f"sqlite:///{path}"))


@pytest.mark.parametrize("name", ["plain.db", "wh y?#%41&mode=ro.db"])
def test_a_file_may_have_any_name(tmp_path, name):
    url = "sqlite:///" + str(tmp_path / name).replace("%", "%25").replace("?", "%3F")
    assert run_app("migrate", cwd=tmp_path, database_url=url).returncode == 0
    done = run_app("new-epoch", cwd=tmp_path, database_url=url)
    assert done.returncode == 0, done.stderr


def test_a_later_revision_is_refused_by_each_command(tmp_path, new_database, backend):
    url = new_database(backend)
    assert run_app("migrate", cwd=tmp_path, database_url=url).returncode == 0
    execute(url, "UPDATE alembic_version SET version_num = '9999'")
    for command in ((), ("migrate",), ("new-epoch",)):
        done = run_app(*command, cwd=tmp_path, port=0, api_keys=KEY, database_url=url)
        assert "9999" in refusal(done)
        assert len(done.stderr.splitlines()) == 1


def test_a_file_that_is_no_database_is_refused(tmp_path):
    (tmp_path / "x.db").write_text("not a database, " * 100)
    for command in ((), ("migrate",), ("new-epoch",)):
        done = run_app(*command, cwd=tmp_path, port=0, database_url=f"sqlite:///{tmp_path}/x.db")
        assert "not a database" in refusal(done)


def test_a_file_that_another_process_locks_is_not_taken_for_an_empty_one(tmp_path):
    url = f"sqlite:///{tmp_path}/x.db"
    assert run_app("migrate", cwd=tmp_path, database_url=url).returncode == 0
    holder = sqlite3.connect(tmp_path / "x.db", isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    done = run_app(cwd=tmp_path, port=0, database_url=url, database_timeout=0.2)
    assert "locked" in refusal(done)
    holder.close()


def test_the_schema_of_a_later_version_that_serves_this_one_is_served(make_server, backend):
    server = make_server(backend=backend)
    assert server.stop() == 0
    url = str(server.settings["database_url"])
    execute(url, "UPDATE alembic_version SET version_num = '9999'")
    for statement in ("DROP TABLE schema_compatible", "CREATE TABLE schema_compatible (revision TEXT)"):
        assert "9999" in refusal(run_app(cwd=server.cwd, **server.settings))
        execute(url, statement)
    assert "9999" in refusal(run_app(cwd=server.cwd, **server.settings))
    execute(url, f"INSERT INTO schema_compatible VALUES ('{SCHEMA_REVISION}')")
    server.start()
    assert httpx.post(
        f"{server.base}/api/streams", json=new_stream(), headers={"Authorization": f"Bearer {KEY}"}
    ).is_success
    assert "only a version that knows it" in refusal(
        run_app("migrate", "--to", SCHEMA_REVISION, cwd=server.cwd, **server.settings)
    )


def test_migrate_goes_to_a_revision_that_is_known(make_server, backend):
    server = make_server(backend=backend)
    assert server.stop() == 0
    said = refusal(run_app("migrate", "--to", "0000", cwd=server.cwd, **server.settings))
    assert "no revision 0000" in said
    assert SCHEMA_REVISION in said
    for _ in range(2):
        done = run_app("migrate", "--to", SCHEMA_REVISION, cwd=server.cwd, **server.settings)
        assert (done.returncode, done.stderr) == (0, "")
    server.start()
