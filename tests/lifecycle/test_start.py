"""What starts, and what refuses to: one clear line, no traceback, a failing exit code."""

import re
import socket
import subprocess
import sys

import httpx
import pytest

from tests.support.data import new_stream
from tests.support.postgres import free_port
from tests.support.server import KEY, ROOT, Server, environment, run_app

SECRET = "very-secret-password"


def refusal(done: subprocess.CompletedProcess) -> str:
    assert done.returncode == 1, done
    assert "Traceback" not in done.stderr + done.stdout
    assert SECRET not in done.stderr + done.stdout
    return done.stderr


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"environment": "production"}, "API_KEYS"),
        ({"host": "0.0.0.0"}, "API_KEYS"),
        ({"api_keys": "short"}, "API_KEYS"),
        ({"api_keys": "sha256:abc"}, "API_KEYS"),
        ({"port": "99999"}, "PORT"),
        ({"port": SECRET}, "PORT"),
        ({"database_url": f"mysql://u:{SECRET}@h/d"}, "DATABASE_URL"),
        ({"database_url": "sqlite:///:memory:"}, "DATABASE_URL"),
        ({"web_concurrency": "4"}, "WEB_CONCURRENCY"),
        ({"log_level": "loud"}, "LOG_LEVEL"),
    ],
)
def test_unsafe_or_wrong_settings_are_refused_by_name(tmp_path, settings, named):
    assert named in refusal(run_app(cwd=tmp_path, **settings))


def test_a_database_without_schema_is_refused(tmp_path, new_database, backend):
    done = run_app(cwd=tmp_path, port=0, api_keys=KEY, database_url=new_database(backend))
    assert "python -m app migrate" in refusal(done)


def test_another_schema_is_refused(tmp_path):
    import sqlite3  # noqa: PLC0415

    url = f"sqlite:///{tmp_path}/x.db"
    assert run_app("migrate", cwd=tmp_path, database_url=url).returncode == 0
    with sqlite3.connect(tmp_path / "x.db") as database:
        database.execute("UPDATE alembic_version SET version_num = '9999'")
    assert "9999" in refusal(run_app(cwd=tmp_path, port=0, database_url=url))


def test_an_unreachable_database_is_refused(tmp_path):
    url = f"postgresql://u:{SECRET}@127.0.0.1:{free_port()}/d"
    assert "database" in refusal(run_app(cwd=tmp_path, port=0, api_keys=KEY, database_url=url))
    assert "database" in refusal(run_app("migrate", cwd=tmp_path, database_url=url))


def test_a_port_in_use_is_refused(tmp_path):
    url = f"sqlite:///{tmp_path}/x.db"
    run_app("migrate", cwd=tmp_path, database_url=url)
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        assert str(port) in refusal(run_app(cwd=tmp_path, port=port, database_url=url))


def test_migrations_are_repeatable(tmp_path, new_database, backend):
    url = new_database(backend)
    for _ in range(2):
        assert run_app("migrate", cwd=tmp_path, database_url=url).returncode == 0


def test_the_migrations_make_the_tables_of_the_code(tmp_path, new_database, backend):
    """Alembic compares what the migrations made with the tables that the code uses."""
    url = new_database(backend)
    assert run_app("migrate", cwd=tmp_path, database_url=url).returncode == 0
    done = subprocess.run(
        [sys.executable, "-m", "alembic", "check"],
        cwd=ROOT,
        env=environment({"database_url": url}),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.postgresql
def test_the_short_scheme_is_accepted_and_tls_is_honoured(tmp_path, new_database):
    url = new_database("postgresql").replace("postgresql://", "postgres://")
    assert run_app("migrate", cwd=tmp_path, database_url=url).returncode == 0
    server = Server(tmp_path, database_url=url, migrate=False).start()
    assert httpx.get(f"{server.base}/health").json()["status"] == "ok"
    assert server.stop() == 0
    refused = run_app(cwd=tmp_path, port=0, api_keys=KEY, database_url=f"{url}?sslmode=require")
    assert "database" in refusal(refused)


def test_the_development_key_works_and_is_the_only_one(tmp_path):
    server = Server(tmp_path, api_keys="", database_url=f"sqlite:///{tmp_path}/x.db").start()
    try:
        shown = "\n".join(line["event"] for line in server.lines)
        while "Ctrl-C" not in shown:
            shown = "\n".join(line["event"] for line in server.lines)
        key = re.search(r"Bearer ([\w-]+)", shown)
        assert key
        assert f"{server.base}/sse/streams" in shown
        url, good = f"{server.base}/api/streams", {"Authorization": f"Bearer {key[1]}"}
        assert httpx.post(url, json=new_stream(), headers=good).status_code == 201
        assert httpx.post(url, json=new_stream(), headers={"X-API-Key": KEY}).status_code == 401
    finally:
        assert server.stop() == 0


def test_keys_are_made_and_hashed(tmp_path):
    key, hashed = run_app("new-key", cwd=tmp_path).stdout.split()
    assert run_app("hash-key", key, cwd=tmp_path).stdout.strip() == hashed


def test_secrets_stay_out_of_the_log(tmp_path):
    server = Server(tmp_path, database_url=f"sqlite:///{tmp_path}/x.db", log_level="debug").start()
    httpx.post(f"{server.base}/api/streams", json=new_stream(), headers={"X-API-Key": KEY})
    httpx.post(f"{server.base}/api/streams", json=new_stream(), headers={"Authorization": "Bearer another-secret-key"})
    assert server.stop() == 0
    text = str(server.lines)
    assert KEY not in text
    assert "another-secret" not in text


def test_a_new_epoch_resets_old_cursors(tmp_path):
    server = Server(tmp_path, database_url=f"sqlite:///{tmp_path}/x.db").start()
    before = httpx.get(f"{server.base}/health").json()["log"]["epoch"]
    server.restart()
    assert httpx.get(f"{server.base}/health").json()["log"]["epoch"] == before
    assert server.stop() == 0
    assert run_app("new-epoch", cwd=tmp_path, **server.settings).returncode == 0
    server.start()
    assert httpx.get(f"{server.base}/health").json()["log"]["epoch"] != before
    assert server.stop() == 0


def test_the_procfile_is_what_works():
    procfile = (ROOT / "Procfile").read_text()
    assert re.search(r"^web: HOST=0\.0\.0\.0 .*python -m app$", procfile, re.MULTILINE)
    assert re.search(r"^release: python -m app migrate$", procfile, re.MULTILINE)
