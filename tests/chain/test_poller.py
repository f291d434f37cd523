"""The poller against nodes with every fault, on real sockets."""

import asyncio

import pytest

from app.chain.position import ChainPosition
from app.core.errors import Unavailable
from tests.support.fake_rpc import RpcError
from tests.support.polled import MemoryChain, Polled, expected, nodes_of

DENSE = expected("dense")
SHAPES = ["v22", "v23", "v28", "v30"]
FAULTS = [
    "http429=0.3:0.05",
    "http503=0.3",
    "http504=0.3",
    "html=0.3",
    "slow=0.5:0.05",
    "reset=0.3",
    "cut=0.3",
    "rpc32001=0.3",
    "rpc32603=0.3",
    "stale=0.4:5",
    "dup=0.5:3",
    "empty=0.4",
    "short=0.5",
    "nocursor=0.5",
]
EIGHT = "http429=0.1:0.05,http503=0.1,reset=0.1,cut=0.1,rpc32001=0.1,stale=0.2:5,dup=0.3:3,short=0.3"


def all_there(store: MemoryChain, wanted: list[str]):
    return lambda: len(store.items) >= len(wanted)


@pytest.mark.parametrize("shape", SHAPES)
async def test_all_events_come_once_and_in_order_from_every_version_of_the_node(shape: str) -> None:
    store = MemoryChain()
    with nodes_of("dense") as nodes:
        nodes.add(shape=shape)
        async with Polled(nodes, store):
            await store.until(all_there(store, DENSE))
    assert store.got == DENSE
    assert len(DENSE) == 380


@pytest.mark.parametrize("faults", [*FAULTS, EIGHT], ids=lambda text: "eight" if text is EIGHT else text.split("=")[0])
async def test_no_fault_loses_doubles_or_disorders_an_event(faults: str) -> None:
    store = MemoryChain()
    with nodes_of("dense", latest=3_700_010, every=0.02) as nodes:
        nodes.add(faults)
        async with Polled(nodes, store, page=20) as polled:
            await store.until(all_there(store, DENSE), 50)
            assert polled.progress.items["events"] == 380
    assert store.got == DENSE
    assert all(nodes.hits[fault.split("=")[0]] for fault in faults.split(","))


@pytest.mark.parametrize("faults", [*FAULTS, EIGHT], ids=lambda text: "eight" if text is EIGHT else text.split("=")[0])
async def test_a_second_node_with_the_same_faults_changes_nothing(faults: str) -> None:
    store = MemoryChain()
    with nodes_of("dense", latest=3_700_010, every=0.02) as nodes:
        nodes.add(faults)
        nodes.add(faults, lag=3, shape="v23")
        async with Polled(nodes, store, page=20):
            nodes.chain.last = 3_700_049
            await store.until(all_there(store, DENSE[:300]), 50)
            nodes.nodes[1].lag = 0
            await store.until(all_there(store, DENSE), 50)
    assert store.got == DENSE


async def test_a_node_that_dies_is_left_for_the_other_and_readers_hear_nothing() -> None:
    store = MemoryChain()
    with nodes_of("dense", latest=3_700_010) as nodes:
        first, second = nodes.add(), nodes.add()
        async with Polled(nodes, store, first=30, most=60) as polled:
            await store.until(lambda: store.row.position == ChainPosition.end_of(3_700_010) or len(store.items) > 50)
            first.faults.set("reset=1")
            nodes.chain.set(latest=3_700_049)
            await store.until(all_there(store, DENSE))
            assert polled.progress.provider == polled.providers.pick().name
            assert polled.announcer.told == []
    assert store.got == DENSE
    assert second.stats["getEvents"] > 0


async def test_a_restart_goes_on_where_the_stored_position_is() -> None:
    store = MemoryChain()
    with nodes_of("dense", latest=3_700_000) as nodes:
        nodes.add("short=1")
        for latest in range(3_700_005, 3_700_050, 4):
            nodes.chain.set(latest=latest)
            so_far = [key for key, ledger in zip(DENSE, ledgers(nodes), strict=True) if ledger <= latest]
            async with Polled(nodes, store):
                await store.until(all_there(store, so_far))
    assert store.got == DENSE


async def test_a_page_whose_commit_fails_is_read_again() -> None:
    store = MemoryChain()
    store.failures = [Unavailable("the database restarts") for _ in range(3)] + [RuntimeError("a fault of ours")]
    with nodes_of("dense") as nodes:
        nodes.add()
        async with Polled(nodes, store, page=20):
            await store.until(all_there(store, DENSE))
    assert store.got == DENSE


async def test_quiet_ledgers_by_the_ten_thousand_are_passed_and_the_position_is_stored() -> None:
    store = MemoryChain()
    with nodes_of("sparse", retention=200_000) as nodes:
        node = nodes.add()
        async with Polled(nodes, store) as polled:
            await store.until(all_there(store, expected("sparse")))
            assert polled.progress.head == 3_830_004
        # Each page without events was stored, too: a silent week does not look like a gap.
        assert [cursor for count, cursor in store.takes if not count]
    assert store.got == expected("sparse")
    assert node.stats["getEvents"] < 25


async def test_a_node_that_gives_up_on_wide_scans_is_asked_for_fewer_ledgers() -> None:
    store = MemoryChain()
    with nodes_of("sparse", retention=200_000) as nodes:
        node = nodes.add()
        node.call = gives_up_over(2_500, node)
        async with Polled(nodes, store):
            await store.until(all_there(store, expected("sparse")), 50)
    assert store.got == expected("sparse")
    spans = {asked["endLedger"] - asked["startLedger"] for asked in node.asked if "endLedger" in asked}
    assert 2_500 in spans
    assert max(spans) <= 2_500


async def test_another_network_is_never_taken_from() -> None:
    store = MemoryChain()
    with nodes_of("dense") as nodes:
        node = nodes.add(passphrase="Public Global Stellar Network ; September 2015")
        async with Polled(nodes, store, silent_seconds=0.2) as polled:
            await polled.announcer.until(lambda: polled.announcer.told)
            assert polled.announcer.told == [("degraded", "no node gives new ledgers (wrong_network)")]
        assert "getEvents" not in node.stats
    assert store.items == []


async def test_lost_ledgers_stop_the_poller_until_an_operator_goes_on() -> None:
    store = MemoryChain()
    with nodes_of("sparse", latest=3_720_010, retention=10_000) as nodes:
        nodes.add()
        nodes.add()
        async with Polled(nodes, store, start=3_715_000, margin=2) as polled:
            await store.until(lambda: store.got == expected("sparse")[2:3])
            position = store.row.position
            nodes.chain.set(latest=3_755_010)  # ten thousand ledgers are kept: 3,745,011 is the oldest
            await store.until(lambda: store.row.gap)
            assert store.row.gap.last == 3_745_010
            assert store.row.position == position
            await polled.announcer.until(lambda: polled.announcer.told)
            assert polled.announcer.told[0][1].startswith(f"ledgers {store.row.gap.first} to 3745010 are lost to every")
            assert polled.progress.gap
        # A restart tells it again, and does not go on either.
        async with Polled(nodes, store, start=3_715_000, margin=2) as polled:
            await polled.announcer.until(lambda: polled.announcer.told)
            await asyncio.sleep(0.3)
            assert store.row.position == position
            store.resume()
            await store.until(lambda: store.rereads)
            await polled.announcer.until(lambda: len(polled.announcer.told) == 2)
            assert polled.announcer.told[1][0] == "recovered"
    assert store.row.gap is None
    assert not store.row.resumed
    assert store.rereads == [ChainPosition.end_of(3_755_010).cursor]
    assert store.got == [expected("sparse")[2], expected("sparse")[5]]


async def test_a_gap_of_one_node_is_none_while_another_has_the_ledgers() -> None:
    store = MemoryChain()
    with nodes_of("sparse", latest=3_829_999) as nodes, nodes_of("sparse", latest=3_829_999, retention=200_000) as old:
        nodes.add()
        old.add()
        nodes.urls += old.urls
        async with Polled(nodes, store) as polled:
            await store.until(all_there(store, expected("sparse")))
            assert polled.announcer.told == []
    assert store.got == expected("sparse")


async def test_a_ledger_that_was_read_to_its_end_may_leave_the_window() -> None:
    store = MemoryChain()
    with nodes_of("sparse", latest=3_720_000, retention=10_000) as nodes:
        nodes.add()
        async with Polled(nodes, store, start=3_715_000, store_seconds=0):
            await store.until(lambda: store.row.position == ChainPosition.end_of(3_720_000))
        nodes.chain.set(latest=3_730_000)  # the oldest is 3,720,001, the very next one
        async with Polled(nodes, store, start=3_715_000, store_seconds=0) as polled:
            await store.until(lambda: store.row.position == ChainPosition.end_of(3_730_000))
            assert polled.announcer.told == []


async def test_without_a_start_reading_begins_above_the_oldest_ledger() -> None:
    store = MemoryChain()
    with nodes_of("dense", retention=30) as nodes:
        nodes.add()
        async with Polled(nodes, store, start=None, margin=5):
            await store.until(lambda: len(store.items) >= 10)
            await store.until(lambda: store.row.position.ledger >= 3_700_048)
    assert min(item["ledger"] for item in store.items) >= 3_700_025
    assert DENSE[-len(store.got) :] == store.got


async def test_events_before_the_contracts_start_are_left_out() -> None:
    store = MemoryChain()
    with nodes_of("dense") as nodes:
        nodes.add()
        async with Polled(nodes, store, start=3_700_020):
            late = [key for key, ledger in zip(DENSE, ledgers(nodes), strict=True) if ledger >= 3_700_020]
            await store.until(all_there(store, late))
    assert store.got == late


async def test_names_in_metrics_hold_no_key_of_the_url() -> None:
    store = MemoryChain()
    with nodes_of("dense") as nodes:
        nodes.add()
        async with Polled(nodes, store) as polled:
            await store.until(all_there(store, DENSE))
            assert "secret" not in repr(polled.progress)
            assert {(method, outcome) for _, method, outcome in polled.progress.calls} >= {("getEvents", "ok")}


def gives_up_over(most: int, node):
    """Answer as a busy node does: only scans of so many ledgers end in time."""
    call = node.call

    def answer(method: str, params):
        if method == "getEvents":
            cursor = params["pagination"].get("cursor")
            start = ChainPosition.parse(cursor).next_ledger if cursor else params["startLedger"]
            if min(params.get("endLedger", start + 10_000), node.head() + 1) - start > most:
                raise RpcError(-32001, "request exceeded processing limit threshold")
        return call(method, params)

    return answer


def ledgers(nodes) -> list[int]:
    return [event["ledger"] for event in nodes.script["events"] if event["contract"] == nodes.contract]
