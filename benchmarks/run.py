"""`make bench`: ours and the peers, in turn, in the same run; a table, and benchmarks/RESULTS.md.

Every figure is a median over the rounds, with the lowest and highest behind it. Each run has a server of its own, and
checks that every client got every event once and in order.
"""

import argparse
import asyncio
import os
import platform
import statistics
import sys
from collections import defaultdict
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks import big_log, scenarios, single_writes
from benchmarks.contenders import (
    CONTENDERS,
    HERE,
    Contender,
    Fluxora,
    Nchan,
    Node,
    Physical,
    PlainFluxora,
    Skipped,
    Starlette,
    compiled,
)
from benchmarks.ingest import FluxoraOnPostgreSQL, FluxoraWithTwoWorkers, ingest
from benchmarks.scenarios import CLIENTS_CPU, Measured

RESULTS = HERE / "RESULTS.md"
BURST_EVENTS = {Fluxora: 5000, Node: 500, Nchan: 1000, Starlette: 200, PlainFluxora: 100}
"""Events for 1,000 clients, chosen so that each contender works for some seconds."""

Figures = dict[str, dict[str, dict[str, list[float]]]]
"""scenario -> contender -> figure -> one value a round"""


def build_load() -> Path:
    """Compile the load generator."""
    try:
        return compiled(HERE / "load.c")
    except Skipped:
        sys.exit("make bench needs a C compiler: the load generator must be cheaper than the servers")


class Run:
    """One run of the benchmark: what was measured, what was skipped, what was wrong."""

    def __init__(self, program: Path, rounds: int, only: str) -> None:
        self.program = program
        self.rounds = rounds
        self.only = only
        self.figures: Figures = defaultdict(lambda: defaultdict(lambda: defaultdict(list)))
        self.versions: dict[str, str] = {}
        self.skipped: dict[str, str] = {}
        self.wrong: list[str] = []

    def measure(
        self,
        scenario: str,
        contender: type[Contender],
        work: Callable[..., Coroutine[Any, Any, Measured]],
        *arguments: Any,
    ) -> None:
        """Run a scenario against a fresh server, and keep its figures."""
        if self.only not in scenario or contender.name in self.skipped:
            return
        try:
            server = contender()
        except Skipped as skipped:
            self.skipped[contender.name] = str(skipped)
            return
        try:
            server.start()
            self.versions[contender.name] = server.version()
            measured = asyncio.run(work(self.program, server, *arguments))
        except (Skipped, AssertionError, OSError, TimeoutError, RuntimeError) as error:
            self.wrong.append(f"{scenario}, {contender.name}: {error!r:.200}")
            return
        finally:
            server.stop()
        if measured.wrong:
            self.wrong.append(f"{scenario}, {contender.name}: {measured.wrong} events or clients")
        for name, value in measured.figures.items():
            self.figures[scenario][contender.name][name].append(value)
        shown = ", ".join(f"{name} {value:,.4g}" for name, value in measured.figures.items())
        print(
            f"{scenario} | {contender.name}: {shown}" + (f"  WRONG: {measured.wrong}" if measured.wrong else ""),
            flush=True,
        )

    def all(self) -> None:
        """Every scenario, every contender in turn, every round."""
        for _ in range(self.rounds):
            for transport in ("ws", "sse"):
                for contender in CONTENDERS:
                    events = BURST_EVENTS[contender]
                    self.measure(
                        f"bursts, 1,000 clients, {transport}",
                        contender,
                        scenarios.bursts,
                        transport,
                        events,
                    )
                for rate in (1, 5, 10):
                    for contender in (Fluxora, Node, Nchan, Physical):
                        self.measure(
                            f"paced, 10,000 clients, {rate} events/s, {transport}",
                            contender,
                            scenarios.paced,
                            transport,
                            10_000,
                            rate,
                            8,
                        )
                self.measure(
                    f"filtered, 10,000 clients, {transport}",
                    Fluxora,
                    scenarios.filtered,
                    transport,
                    10_000,
                )
                self.measure(
                    f"resume, 1,000 clients, 1,000 events each, {transport}",
                    Fluxora,
                    scenarios.resume,
                    transport,
                )
            for contender in (Fluxora, Node, Nchan):
                self.measure(
                    "storm, 10,000 clients connect and leave while 1,000 get 20 events/s, ws",
                    contender,
                    scenarios.storm,
                    10_000,
                )
            self.measure(
                "requests, while 10,000 sockets get 100 events/s",
                Fluxora,
                scenarios.requests_under_load,
                10_000,
            )
            for kind in (FluxoraOnPostgreSQL, FluxoraWithTwoWorkers):
                self.measure("both cores, bursts, 1,000 clients", kind, scenarios.bursts, "ws", 5000)
                self.measure("both cores, paced, 1,000 clients, 20 events/s", kind, scenarios.paced, "ws", 1000, 20, 8)
            for database, contender in (("SQLite", Fluxora), ("PostgreSQL", FluxoraOnPostgreSQL)):
                self.writes(database, contender)

    def writes(self, database: str, contender: type[Fluxora]) -> None:
        """Measure what is written, in batches and alone, on a small log and on a big one."""
        for clients in (0, 10):
            self.measure(f"ingest, batches of 1,000, {database}, {clients} clients", contender, _ingest, clients)
        for clients in (1, 32):
            self.measure(f"writes of one event, {database}, {clients} clients", contender, _single, clients)
        self.measure(f"ingest, batches of 1,000, {database}, a log that grows", contender, _growing, 400_000)


async def _single(_: Path, server: Fluxora, clients: int) -> Measured:
    return Measured(await single_writes.measure(server, clients))


async def _growing(_: Path, server: Fluxora, events: int) -> Measured:
    return Measured(await big_log.measure(server, events))


async def _ingest(program: Path, server: Fluxora, clients: int) -> Measured:
    return await ingest(server, 20, clients, program)


def table(run: Run) -> str:
    """Return the figures as Markdown."""
    lines = []
    for scenario, contenders in run.figures.items():
        names = list(dict.fromkeys(name for figures in contenders.values() for name in figures))
        lines += ["", f"### {scenario}", "", f"| | {' | '.join(names)} |", f"|---|{'---|' * len(names)}"]
        for contender, figures in contenders.items():
            cells = [cell(figures.get(name, [])) for name in names]
            lines.append(f"| {contender} | {' | '.join(cells)} |")
    return "\n".join(lines)


def cell(values: list[float]) -> str:
    """Return median (lowest to highest)."""
    if not values:
        return ""
    middle = f"{statistics.median(values):,.4g}" if max(values) < 1000 else f"{statistics.median(values):,.0f}"
    return middle if len(values) == 1 else f"{middle} ({min(values):,.3g} to {max(values):,.3g})"


def worse(run: Run) -> list[str]:
    """Return where a peer is better than ours, to be said first."""
    found = []
    for scenario, contenders in run.figures.items():
        ours = contenders.get(Fluxora.name, {})
        for contender, figures in contenders.items():
            for name in figures.keys() & ours.keys():
                mine, theirs = statistics.median(ours[name]), statistics.median(figures[name])
                better = theirs > mine if name.endswith("/s") else theirs < mine
                if contender not in (Fluxora.name, PlainFluxora.name, Physical.name) and better and mine and theirs:
                    found.append(f"* {scenario}: {name} is {mine:,.4g}, {contender}'s {theirs:,.4g}")
    return found


def report(run: Run) -> str:
    """Return the whole report."""
    packages = ", ".join(f"{name} {version(name)}" for name in ("quart", "hypercorn", "databases", "sqlalchemy"))
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    cpu = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), "")
    versions = "\n".join(f"* {name}: {text}" for name, text in run.versions.items() if text)
    skipped = "\n".join(f"* skipped: {name}: {reason}" for name, reason in run.skipped.items())
    wrong = (
        "\n".join(f"* {line}" for line in run.wrong)
        or "Nothing: no event missing, repeated or inverted, no client failed."
    )
    return f"""# Results

`make bench`, {datetime.now(UTC):%Y-%m-%d}, {run.rounds} rounds: medians, lowest and highest in parentheses.
{cpu}, {os.cpu_count()} cores: the server has one, the load generator and the publisher have the other. Loopback.
Ours commits every event to SQLite first (`synchronous=FULL`); the peers commit nothing.

* fluxora: Python {platform.python_version()}, {packages}
{versions}
{skipped}

## What is worse than a peer

{chr(10).join(worse(run)) or "Nothing that was measured."}

## What was wrong

{wrong}

## Figures
{table(run)}
"""


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="", help="scenarios whose name has this in it")
    parser.add_argument("--dry", action="store_true", help="print only, leave RESULTS.md")
    arguments = parser.parse_args()
    os.sched_setaffinity(0, CLIENTS_CPU if len(os.sched_getaffinity(0)) > 1 else {0})
    run = Run(build_load(), arguments.rounds, arguments.only)
    run.all()
    text = report(run)
    print(text)
    if not arguments.dry:
        RESULTS.write_text(text)
    sys.exit(bool(run.wrong))


if __name__ == "__main__":
    main()
