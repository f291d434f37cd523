"""Several processes on a PostgreSQL of their own."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.conftest import skip_or_fail
from tests.support.nats import Nats, find_nats
from tests.support.postgres import Cluster, find_binaries
from tests.support.server import Server, run_app


@pytest.fixture
def own_cluster():
    binaries = find_binaries()
    if binaries is None:
        skip_or_fail("PostgreSQL's server binaries are not installed")
    cluster = Cluster(binaries)
    cluster.start()
    yield cluster
    cluster.remove()


@pytest.fixture
def start(own_cluster, tmp_path):
    """Starts processes on one database, at once; a port instead of None is a way to it through a proxy."""
    url = own_cluster.create_database("feed")
    assert run_app("migrate", cwd=tmp_path, database_url=url).returncode == 0
    made: list[Server] = []

    async def start(*ports: int | None, **settings: object) -> list[Server]:
        for port in ports:
            own = {"database_url": url.replace(str(own_cluster.port), str(port or own_cluster.port)), **settings}
            made.append(Server(tmp_path, migrate=False, **{"database_timeout": 3, **own}))
        with ThreadPoolExecutor(len(ports)) as pool:
            loop = asyncio.get_running_loop()
            return await asyncio.gather(*(loop.run_in_executor(pool, each.start) for each in made[-len(ports) :]))

    yield start
    for server in made:
        server.kill()


@pytest.fixture
def broker(tmp_path):
    program = find_nats()
    if program is None:
        skip_or_fail("nats-server is not installed")
    broker = Nats(program, tmp_path / "nats")
    broker.start()
    yield broker
    broker.kill()
