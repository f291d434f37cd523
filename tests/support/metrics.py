"""All metrics that the service can show, as `/metrics` shows them."""

import tempfile

from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from app.bootstrap import Application
from app.chain.progress import Progress
from app.settings import Settings
from app.web.ops.metrics import render
from app.web.services import Chain


def text() -> str:
    """What a service answers that has looked at its log, and reads the chain."""
    with tempfile.TemporaryDirectory() as folder:
        running = Application(Settings(database_url=f"sqlite:///{folder}/x.db")).services
        running.relay.latency_ms = 1.0
        running.chain = Chain(polled=True, progress=Progress(leader=True, provider="node"), ledger=1)
        return render(running)[0].decode()


def families() -> list[Metric]:
    """The same, read by the library."""
    return sorted(text_string_to_metric_families(text()), key=lambda family: family.name)


def series() -> set[str]:
    """The names that a query may ask for."""
    endings = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count")}
    return {family.name + ending for family in families() for ending in endings.get(family.type, ("",))}
