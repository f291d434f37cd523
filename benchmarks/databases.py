"""A server on each database, one after the other."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.support.postgres import Cluster, find_binaries
from tests.support.server import Server


def on_each(*, fsync: bool = False, rounds: int = 1, **settings: Any) -> Iterator[tuple[str, Server]]:
    """Give SQLite, and PostgreSQL if it is here, each with an empty database, as often as there are rounds.

    `fsync`: PostgreSQL waits for its disk, as one in production does.
    """
    binaries = find_binaries()
    cluster = Cluster(binaries, fsync=fsync) if binaries else None
    if cluster:
        cluster.start()
    try:
        for number in range(rounds):
            databases = {"SQLite": ""} | ({"PostgreSQL": cluster.create_database(f"round{number}")} if cluster else {})
            for name, url in databases.items():
                with tempfile.TemporaryDirectory(prefix="fluxora-bench-") as folder:
                    given = settings | ({"database_url": url} if url else {})
                    server = Server(Path(folder), **given).start()
                    try:
                        yield name, server
                    finally:
                        server.stop()
    finally:
        if cluster:
            cluster.remove()
