"""What starts, and what refuses to: one clear line, no traceback, a failing exit code."""

import json
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest

from app.settings import hash_key
from tests.conftest import skip_or_fail
from tests.support.data import new_stream
from tests.support.postgres import Cluster, find_binaries, free_port
from tests.support.server import KEY, Server, environment, run_app, until
from tests.support.whole_run import ROOT

SECRET = "very-secret-password"


def refusal(done: subprocess.CompletedProcess) -> str:
    assert done.returncode == 1, done
    assert "Traceback" not in done.stderr + done.stdout
    assert SECRET not in done.stderr + done.stdout
    return done.stderr


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        (
            {"port": SECRET, "max_connections": 0, "database_url": f"mysql://u:{SECRET}@h/d"},
            ["PORT: ", "MAX_CONNECTIONS: ", "DATABASE_URL: "],
        ),
    ],
)
def test_unsafe_or_wrong_settings_are_refused_by_name(tmp_path, settings, named):
    """All of them at once, a line each; test_settings.py knows every case."""
    text = refusal(run_app(cwd=tmp_path, **settings))
    assert all(name in text for name in named)


def test_a_database_without_schema_is_refused(tmp_path, new_database, backend):
    done = run_app(cwd=tmp_path, port=0, api_keys=KEY, database_url=new_database(backend))
    assert "python -m app migrate" in refusal(done)


def test_an_unreachable_database_is_refused(tmp_path):
    url = f"postgresql://u:{SECRET}@127.0.0.1:{free_port()}/d"
    for command in ((), ("migrate",), ("new-epoch",)):
        done = run_app(*command, cwd=tmp_path, port=0, api_keys=KEY, database_url=url)
        assert "the database cannot be used: " in refusal(done)
        assert len(done.stderr.splitlines()) == 1
        assert [json.loads(line)["event"] for line in done.stdout.splitlines()] == ([] if command else ["starting"])


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
        shown = until(lambda: (text := "\n".join(line["event"] for line in server.lines)) * ("Ctrl-C" in text))
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
    for begun_with_a_dash in ("-" + key, "--" + key, "-h" + key):
        done = run_app("hash-key", begun_with_a_dash, cwd=tmp_path)
        assert done.stdout.strip() == hash_key(begun_with_a_dash), done.stderr


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


@pytest.mark.postgresql
def test_the_procfile_is_what_works(tmp_path, new_database):
    """On a platform that gives the port, the database, the keys, and the number of processes."""
    commands = dict(re.findall(r"^(\w+): (.+)$", (ROOT / "Procfile").read_text(), re.MULTILINE))
    port = free_port()
    url = new_database("postgresql")
    given = environment({"port": port, "database_url": url, "api_keys": KEY, "web_concurrency": 2})
    given["PATH"] = f"{Path(sys.executable).parent}:{given['PATH']}"
    subprocess.run(["/bin/sh", "-c", commands["release"]], cwd=tmp_path, env=given, check=True)
    process = subprocess.Popen(["/bin/sh", "-c", commands["web"]], cwd=tmp_path, env=given, stdout=subprocess.DEVNULL)
    try:

        def healthy() -> bool:
            assert process.poll() is None
            try:
                return httpx.get(f"http://127.0.0.1:{port}/health/ready").status_code == 200
            except httpx.ConnectError:
                return False

        until(healthy, 20)
        until(lambda: len(httpx.get(f"http://127.0.0.1:{port}/health").json()["workers"]) == 2)
        process.terminate()
        assert process.wait(20) == 0
    finally:
        process.kill()


@pytest.fixture
def tls_cluster(tmp_path):
    """A cluster that lets the role `app` in over TLS with its password, and not otherwise."""
    binaries, openssl = find_binaries(), shutil.which("openssl")
    if binaries is None or openssl is None:
        skip_or_fail("PostgreSQL's server binaries and openssl are not both installed")
    cluster = Cluster(binaries)
    key, certificate = cluster.data / "server.key", cluster.data / "server.crt"
    make = f"req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -keyout {key} -out {certificate}"
    names = ["-addext", "subjectAltName=DNS:localhost"]
    subprocess.run([openssl, *make.split(), *names], check=True, capture_output=True)
    for path in (key, certificate):
        path.chmod(0o600)
        if cluster.user:
            shutil.chown(path, cluster.user)
    rules = cluster.data / "pg_hba.conf"
    app = "hostssl all app 127.0.0.1/32 scram-sha-256\nhost all app 127.0.0.1/32 reject\n"
    rules.write_text(app + rules.read_text())
    with (cluster.data / "postgresql.conf").open("a") as config:
        config.write("ssl = on\n")
    (tmp_path / "root.crt").write_text(certificate.read_text())
    try:
        cluster.start()
    except AssertionError:
        skip_or_fail("these PostgreSQL binaries were built without TLS")
    yield cluster
    cluster.remove()


@pytest.mark.postgresql
def test_tls_is_used_and_verified_as_asked(tmp_path, tls_cluster):
    tls_cluster.sql(f"CREATE ROLE app LOGIN PASSWORD '{SECRET}/%?#@:'")
    tls_cluster.sql("CREATE DATABASE feed OWNER app")
    login = f"postgres://app:{quote(SECRET + '/%?#@:', safe='')}"
    url = f"{login}@127.0.0.1:{tls_cluster.port}/feed"
    assert "rejects connection" in refusal(run_app("migrate", cwd=tmp_path, database_url=f"{url}?sslmode=disable"))
    server = Server(tmp_path, database_url=f"{url}?sslmode=require", log_level="debug", poll_interval=0.2).start()
    sessions = "FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE usename = 'app'"
    assert tls_cluster.sql(f"SELECT bool_and(ssl) {sessions}") == "True"

    verified = f"sslmode=verify-full&sslrootcert={tmp_path}/root.crt"
    wrong_name = run_app("new-epoch", cwd=tmp_path, database_url=f"{url}?{verified}")
    assert "certificate" in refusal(wrong_name)
    unknown_root = url.replace("127.0.0.1", "localhost") + "?sslmode=verify-full"
    assert "certificate" in refusal(run_app("new-epoch", cwd=tmp_path, database_url=unknown_root))
    right = url.replace("127.0.0.1", "localhost") + f"?{verified}"
    assert run_app("new-epoch", cwd=tmp_path, database_url=right).returncode == 0
    wrong_password = f"postgres://app:{SECRET}@127.0.0.1:{tls_cluster.port}/feed"
    assert "password" in refusal(run_app("new-epoch", cwd=tmp_path, database_url=wrong_password))

    tls_cluster.kill()
    until(lambda: server.logged("database_unreachable"))
    assert server.stop() == 0
    shown = str(server.lines)
    assert SECRET not in shown
    assert KEY not in shown
    assert not [line for line in server.lines if "exception" in line]
