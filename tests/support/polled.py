"""A database of the chain's items in memory, and nodes of Stellar RPC with faults on real sockets."""

import asyncio
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from app.chain.answers import RawItem
from app.chain.poller import Poller
from app.chain.polling import Polling
from app.chain.ports import FenceLost, Gap, Standing, Taken
from app.chain.position import ChainPosition
from app.chain.progress import Progress
from app.chain.providers import Providers
from app.chain.rpc import StellarRpc
from tests.support.fake_rpc import Chain, Provider, serve

_DATA = Path(__file__).parents[1] / "data" / "chain"


@cache
def script(name: str) -> dict[str, Any]:
    return json.loads((_DATA / f"script_{name}.json").read_text())


def expected(name: str) -> list[str]:
    """The contract's events of a script, by key, in order."""
    told = script(name)
    return [f"{e['txHash']}/{e['eventIndex']}" for e in told["events"] if e["contract"] == told["contract"]]


def key_of(item: RawItem) -> str:
    return f"{item['txHash']}/{int(item['id'].partition('-')[2])}"


class Nodes:
    """Nodes that see one chain."""

    def __init__(self, name: str, *, latest: int | None = None, every: float = 0, retention: int = 120_960) -> None:
        self.script = script(name)
        self.contract: str = self.script["contract"]
        self.passphrase: str = self.script["network"]["passphrase"]
        self.chain = Chain(self.script, latest, every, retention, 0)
        self.nodes: list[Provider] = []
        self.urls: list[str] = []
        self.hits: Counter[str] = Counter()
        self._servers: list[Any] = []

    def add(
        self, faults: str = "", *, lag: int = 0, shape: str = "v28", passphrase: str | None = None, scan: int = 10_000
    ) -> Provider:
        node = Provider(
            self.chain,
            shape=shape,
            lag=lag,
            faults=faults,
            seed=7 + len(self.nodes),
            passphrase=passphrase,
            scan=scan,
            limits=(100, 10_000),
        )
        self._count_hits(node)
        server = serve(0, node)
        self.nodes.append(node)
        self._servers.append(server)
        self.urls.append(f"http://127.0.0.1:{server.server_port}/v1/secret-key")
        return node

    def _count_hits(self, node: Provider) -> None:
        hit = node.faults.hit

        def counted(name: str, default: float = 0) -> float | None:
            argument = hit(name, default)
            self.hits[name] += argument is not None
            return argument

        node.faults.hit = counted  # type: ignore[method-assign]

    def close(self) -> None:
        for server in self._servers:
            server.shutdown()
            server.server_close()


@contextmanager
def nodes_of(name: str, **options: Any) -> Iterator[Nodes]:
    nodes = Nodes(name, **options)
    try:
        yield nodes
    finally:
        nodes.close()


class MemoryChain:
    """What is stored: one row of the contracts, and the items."""

    def __init__(self) -> None:
        self.row = Standing()
        self.items: list[RawItem] = []
        self.keys: set[str] = set()
        self.changed = asyncio.Event()
        self.takes: list[tuple[int, str]] = []
        self.fences_lost = 0
        self.rereads: list[str] = []
        self.failures: list[Exception] = []
        self.arrived: list[float] = []

    def resume(self) -> None:
        self._set(replace(self.row, resumed=True))

    async def until(self, true: Any, seconds: float = 30) -> None:
        async with asyncio.timeout(seconds):
            while not true():
                self.changed.clear()
                await self.changed.wait()

    def _set(self, row: Standing) -> None:
        self.row = row
        self.changed.set()

    # The sink.

    async def standing(self) -> Standing:
        await asyncio.sleep(0)
        return self.row

    async def take(self, items: Sequence[RawItem], after: ChainPosition | None, upto: ChainPosition) -> Taken:
        self._check(after)
        await asyncio.sleep(0)
        if self.failures:
            raise self.failures.pop()
        self._check(after)
        new = [item for item in items if key_of(item) not in self.keys]
        self.items += new
        self.keys.update(map(key_of, new))
        self.arrived += [asyncio.get_running_loop().time()] * len(new)
        self.takes.append((len(items), upto.cursor))
        self._set(Standing(upto, reread_due=self.row.reread_due))
        return Taken(events=len(new), ignored=len(items) - len(new))

    async def gap(self, gap: Gap, after: ChainPosition) -> None:
        await asyncio.sleep(0)
        self._check(after)
        self._set(replace(self.row, gap=gap))

    async def skip(self, gap: Gap, after: ChainPosition, upto: ChainPosition) -> None:
        await asyncio.sleep(0)
        self._check(after)
        assert self.row.resumed
        self._set(Standing(upto, reread_due=True))

    async def reread(self, rpc: StellarRpc, upto: ChainPosition) -> None:
        await asyncio.sleep(0)
        self._check(upto)
        self.rereads.append(upto.cursor)
        self._set(replace(self.row, reread_due=False))

    def _check(self, after: ChainPosition | None) -> None:
        if self.row.position != after:
            self.fences_lost += 1
            raise FenceLost("another poller was here")

    @property
    def got(self) -> list[str]:
        return [key_of(item) for item in self.items]


class MemoryLease:
    def __init__(self) -> None:
        self.owner: str | None = None
        self.until = 0.0
        self.failures: list[Exception] = []
        self.hangs = False

    async def acquire(self, owner: str, seconds: float) -> bool:
        await self._reach()
        now = asyncio.get_running_loop().time()
        if self.owner not in {None, owner} and now < self.until:
            return False
        self.owner, self.until = owner, now + seconds
        return True

    async def renew(self, owner: str, seconds: float) -> bool:
        await self._reach()
        if self.owner != owner:
            return False
        self.until = asyncio.get_running_loop().time() + seconds
        return True

    async def release(self, owner: str) -> None:
        await self._reach()
        if self.owner == owner:
            self.owner = None

    async def _reach(self) -> None:
        await asyncio.sleep(0)
        if self.hangs:
            await asyncio.sleep(3600)
        if self.failures:
            raise self.failures.pop()


class MemoryAnnouncer:
    """Tells each change once, as the feed does."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str]] = []
        self.now: str | None = None
        self.changed = asyncio.Event()

    async def degraded(self, source: str, reason: str) -> None:
        assert source == "stellar-rpc"
        if self.now != reason:
            self.now = reason
            self.told.append(("degraded", reason))
            self.changed.set()

    async def recovered(self, source: str, reason: str) -> None:
        assert source == "stellar-rpc"
        if self.now is not None:
            self.now = None
            self.told.append(("recovered", reason))
            self.changed.set()

    async def until(self, true: Any, seconds: float = 30) -> None:
        async with asyncio.timeout(seconds):
            while not true():
                self.changed.clear()
                await self.changed.wait()


class Polled:
    """A poller on nodes, with its parts at hand; it runs as a task until the block ends."""

    def __init__(
        self,
        nodes: Nodes,
        store: MemoryChain,
        *,
        start: int | None = 3_700_000,
        passphrase: str | None = None,
        first: float = 0.02,
        most: float = 0.1,
        **polling: Any,
    ) -> None:
        options = {
            "page": 50,
            "calls_per_second": 500,
            "trouble_seconds": 0.02,
            "gap_seconds": 0.1,
            "look_seconds": 0.05,
        } | polling
        self.progress = Progress()
        self.announcer = MemoryAnnouncer()
        self.providers = Providers(nodes.urls, passphrase or nodes.passphrase, self.progress, first=first, most=most)
        self.poller = Poller(
            Polling({nodes.contract: start}, **options), self.providers, store, self.announcer, self.progress
        )

    async def __aenter__(self) -> "Polled":
        self.task = asyncio.ensure_future(self.poller.run())
        return self

    async def __aexit__(self, *_: object) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)
        await self.providers.close()
