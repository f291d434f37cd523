"""Roles with odd defaults, schemas of other names, and a real PgBouncer: the service relies on none of them."""

import asyncio
from contextlib import asynccontextmanager

import asyncpg
import httpx
import pytest

from app.core.errors import Unavailable
from tests.conftest import api_of, skip_or_fail
from tests.lifecycle.test_start import refusal
from tests.support.data import created, new_stream
from tests.support.feeds import follow
from tests.support.pgbouncer import PgBouncer, find_pgbouncer
from tests.support.postgres import Cluster
from tests.support.server import Server, run_app

pytestmark = pytest.mark.postgresql


@asynccontextmanager
async def odd_role(cluster: Cluster, database: str, *defaults: str):
    """A URL of a role of its own that has these defaults."""
    role = f"odd_{database}"
    cluster.sql(f"CREATE ROLE {role} LOGIN SUPERUSER")
    for default in defaults:
        cluster.sql(f"ALTER ROLE {role} SET {default}")
    yield cluster.url(database).replace("postgres@", f"{role}@")


ODD = {
    "most": (
        "default_transaction_isolation = 'serializable'",
        "default_transaction_read_only = on",
        "synchronous_commit = off",
        "lock_timeout = '1ms'",
        "search_path = elsewhere, pg_catalog",
        "timezone = 'Pacific/Kiritimati'",
        "idle_in_transaction_session_timeout = '50ms'",
        "datestyle = 'German'",
    ),
    "others": ("default_transaction_isolation = 'repeatable read'", "search_path = pg_catalog"),
}
"""Together, for two processes take seconds to start; what fails can be found by leaving some out."""


@pytest.mark.parametrize("name", ODD)
async def test_a_role_with_odd_defaults_loses_nothing_between_processes(cluster, tmp_path, name):
    database = f"odd_{name}"
    cluster.create_database(database)
    async with odd_role(cluster, database, *ODD[name]) as url:
        first = Server(tmp_path, database_url=url, poll_interval=0.2).start()
        second = Server(tmp_path, database_url=url, poll_interval=0.2, migrate=False).start()
        try:
            async with follow(second, "websocket") as one, api_of(first) as a, api_of(second) as b:
                writes = [(a, b)[n % 2].post("/api/streams", json=new_stream()) for n in range(60)]
                assert {answer.status_code for answer in await asyncio.gather(*writes)} == {201}
                await one.count(60)
                assert one.events == (await b.get("/api/events?limit=100")).json()["events"]
        finally:
            assert (first.stop(), second.stop()) == (0, 0)


async def test_a_transaction_says_itself_what_it_relies_on(cluster, tmp_path, open_store):
    database = "odd_inside"
    cluster.create_database(database)
    async with odd_role(cluster, database, "synchronous_commit = off", "statement_timeout = '2s'") as url:
        assert run_app("migrate", cwd=tmp_path, database_url=url).returncode == 0
        async with open_store(url, timeout=7) as opened:
            names = ("synchronous_commit", "statement_timeout", "lock_timeout", "search_path", "transaction_isolation")
            async with opened.store.transaction() as transaction:
                raw = transaction.connection.raw_connection
                told = [await raw.fetchval(f"SHOW {name}") for name in names]
            assert told == ["on", "7s", "7s", "public", "read committed"]


async def test_what_no_transaction_can_mend_is_refused_with_its_reason(cluster, open_store):
    database = "odd_refused"
    cluster.create_database(database)
    async with odd_role(cluster, database, "statement_timeout = '20ms'") as url:
        with pytest.raises(Unavailable, match="statement_timeout of 20 ms"):
            async with open_store(url):
                pass


@pytest.fixture(scope="session")
def backend():
    return "postgresql"


@pytest.fixture
def pgbouncer(cluster):
    program = find_pgbouncer()
    if program is None:
        skip_or_fail("PgBouncer is not installed")
    bouncer = PgBouncer(program, cluster).start()
    yield bouncer
    bouncer.stop()


async def test_through_pgbouncer_in_transaction_mode(cluster, pgbouncer, tmp_path):
    """Migrates, starts, writes and reads from many clients at once, and finds what others commit by polling."""
    cluster.create_database("pooled")
    url = pgbouncer.url("pooled")
    first = Server(tmp_path, database_url=url, poll_interval=0.1).start()
    second = Server(tmp_path, database_url=url, poll_interval=0.1, migrate=False).start()
    try:
        assert first.logged("pooler_found")
        async with (
            follow(first, "websocket") as one,
            follow(second, "sse") as two,
            api_of(first) as a,
            api_of(second) as b,
        ):
            writes = [(a, b)[n % 2].post("/api/streams", json=new_stream()) for n in range(80)]
            reads = [(a, b)[n % 2].get("/api/streams") for n in range(80)]
            answers = await asyncio.gather(*writes, *reads)
            assert {answer.status_code for answer in answers} == {200, 201}
            batch = await a.post("/api/events", json={"events": [created() for _ in range(300)]})
            assert batch.json()["accepted"] == 300
            await one.count(380)
            await two.count(380)
            assert one.events == two.events
        assert httpx.get(f"{first.base}/health").json()["status"] == "ok"
    finally:
        assert (first.stop(), second.stop()) == (0, 0)


def test_a_broker_needs_a_connection_without_a_pooler(cluster, pgbouncer, tmp_path):
    cluster.create_database("pooled_broker")
    url = pgbouncer.url("pooled_broker")
    assert run_app("migrate", cwd=tmp_path, database_url=url).returncode == 0
    done = run_app(cwd=tmp_path, port=0, database_url=url, relay_url="nats://127.0.0.1:1")
    assert "direct connection" in refusal(done)


async def test_a_schema_of_another_name(cluster, tmp_path):
    url = cluster.create_database("other_schema")
    connection = await asyncpg.connect(url)
    await connection.execute('CREATE SCHEMA "Our feed"')
    await connection.close()
    server = Server(tmp_path, database_url=url, database_schema="Our feed").start()
    try:
        async with api_of(server) as api:
            assert (await api.post("/api/streams", json=new_stream())).status_code == 201
            assert len((await api.get("/api/events")).json()["events"]) == 1
        connection = await asyncpg.connect(url)
        assert await connection.fetchval('SELECT count(*) FROM "Our feed".stream_events') == 1
        await connection.close()
    finally:
        assert server.stop() == 0


async def test_a_socket_in_a_directory_and_a_password_of_odd_letters(cluster, tmp_path):
    """Through a real Unix socket, with a password that must be escaped in a URL."""
    program = find_pgbouncer()
    if program is None:
        skip_or_fail("PgBouncer is not installed")
    cluster.create_database("by_socket")
    cluster.sql("CREATE ROLE \"o d@d\" LOGIN SUPERUSER PASSWORD 'p/a:s@s%'")
    bouncer = PgBouncer(program, cluster, users={"postgres": "", "o d@d": "p/a:s@s%"}, socket=True).start()
    url = f"postgresql://o%20d%40d:p%2Fa%3As%40s%25@/by_socket?host={bouncer.home}&port={bouncer.port}"
    try:
        server = Server(tmp_path, database_url=url).start()
        async with api_of(server) as api:
            assert (await api.post("/api/streams", json=new_stream())).status_code == 201
        assert server.stop() == 0
        wrong = run_app(cwd=tmp_path, port=0, database_url=url.replace("%25@", "@"))
        assert "password" in refusal(wrong).lower() or "SASL" in refusal(wrong)
    finally:
        bouncer.stop()
