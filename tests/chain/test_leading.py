"""Who polls, how soon, and what readers hear: with a clock of the test's own."""

import asyncio
import random

import pytest

from app.chain.answers import Page, RawItem, Window
from app.chain.circuit import Circuit
from app.chain.faults import RpcFault
from app.chain.leader import Leader
from app.chain.poller import Poller
from app.chain.polling import Polling
from app.chain.position import ChainPosition
from app.chain.progress import Progress
from app.chain.providers import Providers, names_of
from app.core.errors import Unavailable
from tests.support.polled import MemoryAnnouncer, MemoryChain, MemoryLease
from tests.support.virtual import virtual

FIRST = 1000


class Node:
    """A node whose ledgers close at given times, each with one event; it answers after 50 ms, or fails."""

    def __init__(self, closes: list[float]) -> None:
        self.closes = closes
        self.calls = 0
        self.fails: RpcFault | None = None

    @property
    def latest(self) -> int:
        now = asyncio.get_running_loop().time()
        return FIRST + sum(close <= now for close in self.closes)

    async def check_network(self, passphrase: str) -> None:
        await self._answer()

    async def health(self) -> Window:
        await self._answer()
        return Window(FIRST - 100, self.latest)

    async def events(self, contracts, start, *, end_ledger=None, limit=1000) -> Page:
        await self._answer()
        self.calls += 1
        latest = self.latest
        first = start.next_ledger if isinstance(start, ChainPosition) else start
        items = tuple((place(ledger), item(ledger)) for ledger in range(first, latest + 1))
        return Page(items, ChainPosition.end_of(latest), Window(FIRST - 100, latest))

    async def close(self) -> None:
        pass

    async def _answer(self) -> None:
        await asyncio.sleep(0.05)
        if self.fails:
            raise self.fails


def place(ledger: int) -> ChainPosition:
    return ChainPosition.parse(f"{ledger << 32 | 4096}-0")


def item(ledger: int) -> RawItem:
    return {"id": place(ledger).cursor, "txHash": f"{ledger:064x}", "contractId": "C", "ledger": ledger}


class Process:
    """A process that polls while it leads."""

    def __init__(self, name: str, nodes: list[Node], store: MemoryChain, lease: MemoryLease) -> None:
        self.progress = Progress()
        self.announcer = MemoryAnnouncer()
        self.providers = Providers([f"http://node-{at}" for at in range(len(nodes))], "net", self.progress)
        for provider, node in zip(self.providers, nodes, strict=True):
            provider.rpc = node
        polling = Polling({"C": FIRST})
        self.poller = Poller(polling, self.providers, store, self.announcer, self.progress)
        self.leader = Leader(lease, name, self.poller.run, self.progress)
        self.task = asyncio.ensure_future(self.leader.run())

    async def end(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


def every(seconds: float, count: int, jitter: float = 0.0) -> list[float]:
    rng, now, closes = random.Random(5), 2.0, []
    for _ in range(count):
        closes.append(now)
        now += seconds + rng.uniform(0, jitter)
    return closes


@pytest.mark.parametrize(("seconds", "jitter"), [(5, 0), (5, 1), (2.5, 0), (6, 0)])
def test_at_the_head_a_ledger_costs_one_call_or_two_and_is_there_within_a_second(seconds: float, jitter: float) -> None:
    @virtual
    async def run() -> None:
        node, store = Node(every(seconds, 200, jitter)), MemoryChain()
        process = Process("a", [node], store, MemoryLease())
        await asyncio.sleep(node.closes[-1] + 2)
        await process.end()
        assert len(store.items) == 201
        late = [there - close for there, close in zip(store.arrived[1:], node.closes, strict=True)]
        assert max(late) < 1
        assert node.calls / 200 < 2

    run()


@virtual
async def test_a_head_that_stands_still_is_asked_less_and_less_and_told_after_a_minute() -> None:
    node, store = Node([*every(5, 20), *(1000.0 + 5 * late for late in range(60))]), MemoryChain()
    process = Process("a", [node], store, MemoryLease())
    await asyncio.sleep(node.closes[19] + 50)
    assert process.announcer.told == []
    await asyncio.sleep(40)
    assert process.announcer.told == [("degraded", "no node gives new ledgers")]
    before = node.calls
    await asyncio.sleep(600)
    assert node.calls - before <= 41
    assert process.progress.lag_seconds > 600
    await asyncio.sleep(300)
    assert process.announcer.told[1:] == [("recovered", "new ledgers are read again")]
    await process.end()


@virtual
async def test_nodes_that_fail_are_told_after_a_minute_and_found_again() -> None:
    nodes, store = [Node(every(5, 400)), Node(every(5, 400))], MemoryChain()
    process = Process("a", nodes, store, MemoryLease())
    await asyncio.sleep(100)
    for node in nodes:
        node.fails = RpcFault("http_5xx", "HTTP status 503")
    await asyncio.sleep(55)
    assert process.announcer.told == []
    await asyncio.sleep(20)
    assert process.announcer.told == [("degraded", "no node gives new ledgers (http_5xx)")]
    nodes[1].fails = None
    await asyncio.sleep(61)
    assert process.announcer.told[-1][0] == "recovered"
    assert process.progress.provider == "node-1"
    assert process.progress.lag_ledgers == 0
    await process.end()
    assert [each["ledger"] for each in store.items] == list(range(FIRST, FIRST + len(store.items)))


@virtual
async def test_a_node_that_stands_still_is_left_for_one_that_goes_on() -> None:
    nodes, store = [Node(every(5, 10)), Node(every(5, 100))], MemoryChain()
    process = Process("a", nodes, store, MemoryLease())
    await asyncio.sleep(nodes[0].closes[-1] + 45)
    assert process.progress.provider == "node-1"
    assert process.announcer.told == []
    await process.end()


@virtual
async def test_a_leader_that_dies_is_followed_when_its_lease_is_over() -> None:
    node, store, lease = Node(every(5, 100)), MemoryChain(), MemoryLease()
    first = Process("a", [node], store, lease)
    await asyncio.sleep(1)
    second = Process("b", [node], store, lease)
    await asyncio.sleep(40)
    assert (first.progress.leader, second.progress.leader) == (True, False)
    lease.owner = "dead"  # what SIGKILL leaves behind: a lease that nobody gives back
    await first.end()
    await asyncio.sleep(13)
    assert second.progress.leader
    await asyncio.sleep(100)
    await second.end()
    assert [each["ledger"] for each in store.items] == list(range(FIRST, FIRST + len(store.items)))
    assert len(store.items) > 25


@virtual
async def test_a_leader_that_ends_hands_over_at_once() -> None:
    node, store, lease = Node(every(5, 100)), MemoryChain(), MemoryLease()
    first = Process("a", [node], store, lease)
    await asyncio.sleep(1)
    second = Process("b", [node], store, lease)
    await first.end()
    assert lease.owner is None
    await asyncio.sleep(4)
    assert second.progress.leader
    await second.end()


@virtual
async def test_two_leaders_at_once_take_nothing_twice() -> None:
    node, store = Node(every(2, 200)), MemoryChain()
    processes = [Process(name, [node], store, MemoryLease()) for name in "abc"]
    await asyncio.sleep(node.closes[-1] + 20)
    assert all(process.progress.leader for process in processes)
    for process in processes:
        await process.end()
    assert store.fences_lost > 20
    assert [each["ledger"] for each in store.items] == list(range(FIRST, FIRST + 201))


@pytest.mark.parametrize("kind", ["hangs", "fails"])
def test_a_leader_that_cannot_renew_ends_before_another_may_begin(kind: str) -> None:
    @virtual
    async def run() -> None:
        node, store, lease = Node(every(5, 100)), MemoryChain(), MemoryLease()
        process = Process("a", [node], store, lease)
        await asyncio.sleep(20)
        assert process.progress.leader
        if kind == "hangs":
            lease.hangs = True
        else:
            lease.failures = [Unavailable("the database cannot be reached")] * 5
        while process.progress.leader:
            assert asyncio.get_running_loop().time() < lease.until
            await asyncio.sleep(0.1)
        lease.hangs = False
        await asyncio.sleep(20)
        assert process.progress.leader
        await process.end()

    run()


@virtual
async def test_a_circuit_doubles_and_obeys_the_node() -> None:
    circuit = Circuit(1, 60)
    waits = []
    for _ in range(10):
        circuit.failure()
        waits.append(circuit.seconds)
    for wait, most in zip(waits, [1, 2, 4, 8, 16, 32, 60, 60, 60, 60], strict=True):
        assert most / 2 <= wait <= most
    circuit.success()
    assert circuit.seconds == 0
    circuit.failure(at_least=120)
    assert circuit.seconds == 120


def test_nodes_are_named_without_what_their_urls_hide() -> None:
    urls = ["https://user:secret@rpc.example/v1/secret", "https://rpc.example/v2/other", "http://127.0.0.1:8000"]
    assert names_of(urls) == ["rpc.example", "rpc.example#2", "127.0.0.1:8000"]
