"""The write side: chain events in batches of 1,000 through the API, on each database."""

import json
import time
from pathlib import Path

from benchmarks.contenders import Fluxora, Skipped, post
from benchmarks.scenarios import Load, Measured, wrong
from tests.support.data import address, created, stream_id, updated
from tests.support.postgres import Cluster, find_binaries

BATCH = 1000


class FluxoraOnPostgreSQL(Fluxora):
    """Ours, on a cluster of its own that waits for its disk as one in production does."""

    name = "fluxora, PostgreSQL"
    workers = 1

    def __init__(self) -> None:
        super().__init__()
        binaries = find_binaries()
        if binaries is None:
            raise Skipped("PostgreSQL's server binaries are not installed")
        self.cluster = Cluster(binaries, fsync=True)
        self.cluster.start()
        self.database_url = self.cluster.create_database("fluxora")

    def environment(self) -> dict[str, str]:
        return {**super().environment(), "WEB_CONCURRENCY": str(self.workers)}

    def stop(self) -> None:
        super().stop()
        self.cluster.remove()


class FluxoraWithTwoWorkers(FluxoraOnPostgreSQL):
    """Ours on both cores, as a server in Go would be; clients and database share them."""

    name = "fluxora, PostgreSQL, two workers"
    cores = {0, 1}
    workers = 2


async def ingest(server: Fluxora, batches: int, clients: int = 0, program: Path | None = None) -> Measured:
    """Creates, each with addresses of its own; then an update of each; then the updates again, which are known."""
    creates = [
        [created(sender=address(f"s{batch} {n}"), recipient=address(f"r{batch} {n}")) for n in range(BATCH)]
        for batch in range(batches)
    ]
    updates = [[updated(stream_id(event), streamedAmount="1.5") for event in batch] for batch in creates]
    load = Load(program, server, "ws", clients, 2 * BATCH * batches) if program and clients else None
    figures = {}
    try:
        for phase, sent, outcome in (
            ("creates", creates, b'"accepted":1000'),
            ("updates", updates, b'"accepted":1000'),
            ("repeats", updates, b'"ignored":1000'),
        ):
            bodies = [json.dumps({"events": batch}).encode() for batch in sent]
            cpu, begun = server.cpu(), time.perf_counter()
            for body in bodies:
                answer = await post(server.port, "/api/events", body)
                assert outcome in answer, answer[-300:]
            count = BATCH * batches
            figures[f"{phase}/s"] = count / (time.perf_counter() - begun)
            figures[f"CPU us/{phase[:-1]}"] = (server.cpu() - cpu) / count * 1e6
        return Measured(figures, wrong(await load.result()) if load else 0)
    finally:
        if load:
            load.stop()
