"""Fixtures: databases, running services."""

import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from tests.support.feeds import TRANSPORTS
from tests.support.postgres import Cluster, find_binaries
from tests.support.server import KEY, MIGRATED, Server, run_app
from tests.support.whole_run import AT_END

pytest_plugins = ["tests.support.leftovers"]

ON_CI = bool(os.environ.get("CI"))


LONG = (
    "test_commands.py",
    "test_client.py",
    "test_workers.py",
    "test_indexer.py",
    "test_many_processes.py",
    "test_database_faults.py",
    "test_proxies.py",
    "test_slow_clients.py",
    "test_live_streams.py",
    "test_shutdown.py",
    "test_broker.py",
    "test_schema.py",
    "test_poller.py",
    "test_start.py",
    "test_openapi.py",
    "test_packaging.py",
)
"""The files that take longest, longest first: begun last, one of them would run alone at the end."""


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give each of several test processes, which get equal parts of this list, its share of the long files first."""
    processes = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    there_and_back = [*range(processes), *reversed(range(processes))]
    long: list[list[pytest.Item]] = [[] for _ in range(processes)]
    for number, name in enumerate(LONG):
        long[there_and_back[number % len(there_and_back)]] += [item for item in items if item.path.name == name]
    others = [item for item in items if item.path.name not in LONG]
    size = -(-len(items) // processes)
    items.clear()
    for share in long:
        count = max(0, size - len(share))
        items += share + others[:count]
        others = others[count:]
    items += others


def skip_or_fail(reason: str) -> None:
    """A newcomer's machine may lack something; CI may not."""
    if ON_CI:
        pytest.fail(f"{reason}, and on CI that is a failure")
    pytest.skip(reason)


def program(name: str) -> str:
    """The path of a program of the system's."""
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if found is None:
        skip_or_fail(f"{name} is not installed")
    return found


@pytest.fixture(scope="session", autouse=True)
def whole_run() -> Iterator[None]:
    """What is shared without being a fixture ends last."""
    with AT_END:
        yield


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    binaries = find_binaries()
    if binaries is None:
        skip_or_fail("PostgreSQL's server binaries are not installed")
    cluster = Cluster(binaries)
    cluster.start()
    yield cluster
    cluster.remove()


@pytest.fixture(scope="session")
def new_postgresql(request: pytest.FixtureRequest) -> Callable[[], str]:
    """Makes databases: on TEST_DATABASE_URL's server if that is set, else on a throwaway cluster."""
    given = os.environ.get("TEST_DATABASE_URL")
    if given:
        import asyncio  # noqa: PLC0415
        import threading  # noqa: PLC0415

        import asyncpg  # noqa: PLC0415

        def make() -> str:
            name = f"fluxora_{uuid.uuid4().hex[:12]}"

            async def create() -> None:
                connection = await asyncpg.connect(given)
                await connection.execute(f'CREATE DATABASE "{name}"')
                await connection.close()

            thread = threading.Thread(target=lambda: asyncio.run(create()))
            thread.start()
            thread.join()
            return str(httpx.URL(given).copy_with(path=f"/{name}"))

        return make
    cluster: Cluster = request.getfixturevalue("cluster")
    return lambda: cluster.create_database(f"fluxora_{uuid.uuid4().hex[:12]}")


@pytest.fixture(scope="session")
def migrated_database(
    request: pytest.FixtureRequest, new_database: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], str]:
    """Makes a database for a service; on our own PostgreSQL a copy of a migrated one, which takes no process."""
    template: list[str] = []

    def make(kind: str) -> str:
        if kind != "postgresql" or os.environ.get("TEST_DATABASE_URL"):
            return new_database(kind)
        cluster: Cluster = request.getfixturevalue("cluster")
        if not template:
            name = f"template_{uuid.uuid4().hex[:12]}"
            done = run_app(
                "migrate", cwd=tmp_path_factory.mktemp("template"), database_url=cluster.create_database(name)
            )
            assert done.returncode == 0, done.stderr
            template.append(name)
        url = cluster.create_database(f"fluxora_{uuid.uuid4().hex[:12]}", template[0])
        MIGRATED.add(url)
        return url

    return make


@pytest.fixture(scope="session", params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def backend(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="session")
def new_database(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    """Makes an empty database of a kind, and returns its URL."""

    def make(kind: str) -> str:
        if kind == "postgresql":
            return request.getfixturevalue("new_postgresql")()
        return f"sqlite:///{tmp_path_factory.mktemp('sqlite') / 'fluxora.db'}"

    return make


@pytest.fixture(scope="session")
def server(
    backend: str, migrated_database: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """One service for all tests that don't harm it, on each database."""
    server = Server(tmp_path_factory.mktemp("server"), database_url=migrated_database(backend)).start()
    yield server
    assert server.stop() == 0


@pytest.fixture
def make_server(migrated_database: Callable[[str], str], tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Makes services of the test's own, with its own settings; `backend="postgresql"` for PostgreSQL."""
    made: list[Server] = []

    def make(*, backend: str = "sqlite", **settings: object) -> Server:
        if "database_url" not in settings:
            settings["database_url"] = migrated_database(backend)
        made.append(Server(tmp_path, **settings))
        return made[-1].start()

    yield make
    for each in made:
        each.kill()


@pytest.fixture(params=TRANSPORTS)
def transport(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
async def api(server: Server):
    """A client of the shared service that may write."""
    async with api_of(server) as client:
        yield client


def api_of(server: Server) -> httpx.AsyncClient:
    headers = {"Authorization": f"Bearer {KEY}"}
    return httpx.AsyncClient(base_url=server.base, headers=headers, timeout=30)
