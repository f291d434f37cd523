"""One client's way through the log: from memory, from the database, live, and what it is told when that cannot be."""

import asyncio

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core import history as history_module
from app.core import ring as ring_module
from app.core.filter import EventFilter
from app.core.messages import Close, ServiceMessage
from app.core.subscription import Subscription
from tests.core.test_hub import process, publish, reading, seqs
from tests.support.memory import MemoryLog, MemoryStore, Process, row
from tests.support.reading import Events, Idle, Reader
from tests.support.virtual import VirtualLoop, iterations, settle, virtual

ALL = EventFilter()
OF_A = EventFilter(senders=frozenset("a"))
OF_Z = EventFilter(senders=frozenset("z"))
CLOSE = Close(1012, "service restart", 1000)


def told(delivery) -> dict:
    assert isinstance(delivery, ServiceMessage)
    return orjson.loads(delivery.data)


@pytest.fixture
def small_pages(monkeypatch):
    monkeypatch.setattr(history_module, "PAGE_EVENTS", 3)
    monkeypatch.setattr(ring_module, "_SLACK", 0)


@virtual
async def test_it_begins_at_the_head():
    here = await process()
    publish(here, row(1))
    with reading(here, ALL, None) as subscription:
        assert str(subscription.position) == "one-1"
        publish(here, row(2))
        assert seqs(await subscription.next()) == [2]


@virtual
async def test_it_reads_pages_from_the_database_then_from_the_ring_then_lives(small_pages):
    here = await process(ring_events=4)
    publish(here, *(row(seq) for seq in range(1, 12)))
    with reading(here, ALL, "one-0") as subscription:
        got = [seqs(await subscription.next()) for _ in range(4)]
        assert got == [[1, 2, 3], [4, 5, 6], [7, 8, 9], [10, 11]]
        assert here.log.reads == [0, 3, 6]
        waiting = asyncio.create_task(subscription.next())
        await settle()
        publish(here, row(20))
        assert seqs(await waiting) == [20]


@virtual
async def test_a_page_has_at_most_its_bytes_and_at_least_one_event(monkeypatch):
    monkeypatch.setattr(history_module, "PAGE_BYTES", 1000)
    sizes = [100, 100, 5000, 5000, 100, 700, 100]
    rows = [row(seq, size=size) for seq, size in enumerate(sizes, start=1)]
    for ring_bytes in (1 << 20, 1):
        here = await process(ring_bytes=ring_bytes)
        publish(here, *rows)
        with reading(here, ALL, "one-0") as subscription:
            got = [seqs(await subscription.next()) for _ in range(5)]
        assert got == [[1, 2], [3], [4], [5, 6], [7]]
        assert bool(here.log.reads) == (ring_bytes == 1)


@given(
    st.lists(st.tuples(st.integers(1, 3), st.sampled_from("az"), st.integers(0, 600)), min_size=1, max_size=25),
    st.integers(0, 40),
    st.sampled_from([ALL, OF_A, OF_Z, EventFilter(senders=frozenset("az"), recipients=frozenset("b"))]),
    st.integers(1, 10),
)
def test_a_replay_is_what_the_log_has_after_the_cursor(events, cursor, wanted, ring_events):
    async def replay() -> None:
        here = await process(ring_events=ring_events)
        seq, rows = 0, []
        for step, sender, size in events:
            seq += step
            rows.append(row(seq, sender=sender, size=size))
        publish(here, *rows)
        start = min(cursor, seq)
        with reading(here, wanted, f"one-{start}") as subscription:
            got, last = [], start
            while not isinstance(delivery := await subscription.next(1), Idle):
                assert len(delivery.events) <= 3
                assert len(delivery.events) == 1 or sum(len(event.data) for event in delivery.events) <= 900
                got += delivery.events
                last = delivery.events[-1].seq
                assert subscription.position.seq >= last
            assert delivery.cursor.seq == seq
        history = here.log.histories["one"]
        assert [event.data for event in got] == [e.data for e in history if e.seq > start and wanted.matches(e)]

    with pytest.MonkeyPatch.context() as patch, asyncio.Runner(loop_factory=VirtualLoop) as runner:
        patch.setattr(history_module, "PAGE_EVENTS", 3)
        patch.setattr(history_module, "PAGE_BYTES", 900)
        patch.setattr(ring_module, "_SLACK", 0)
        runner.run(replay())


@virtual
async def test_stalled_it_holds_nothing_and_goes_on_where_it_was(small_pages):
    here = await process(ring_events=4)
    with reading(here, ALL, None) as subscription:
        got = []
        for seq in range(1, 30):
            publish(here, row(seq))
            await settle()
            if seq % 10 == 0:
                got += seqs(await subscription.next())
        while len(got) < 29:
            got += seqs(await subscription.next())
        assert got == list(range(1, 30))


@pytest.mark.parametrize(
    ("cursor", "reason"),
    [("nonsense", "malformed"), ("", "malformed"), ("two-1", "epoch"), ("one-99", "future"), ("one-1", "pruned")],
)
@virtual
async def test_a_cursor_that_cannot_be_served_is_a_reset(small_pages, cursor, reason):
    here = await process(ring_events=4)
    publish(here, *(row(seq) for seq in range(1, 12)))
    here.log.prune(5)
    with reading(here, ALL, cursor) as subscription:
        delivery = await subscription.next()
        message = told(delivery)
        assert (message["event"], message["reason"], message["cursor"]) == ("feed.reset", reason, "one-11")
        assert str(delivery.cursor) == "one-11"
        publish(here, row(12))
        assert seqs(await subscription.next()) == [12]


@virtual
async def test_the_oldest_cursor_that_can_be_served(small_pages):
    here = await process(ring_events=1)
    publish(here, *(row(seq) for seq in range(1, 12)))
    here.log.prune(5)
    with reading(here, ALL, "one-5") as subscription:
        assert seqs(await subscription.next()) == [6, 7, 8]


@virtual
async def test_pruned_while_it_reads(small_pages):
    here = await process(ring_events=1)
    publish(here, *(row(seq) for seq in range(1, 12)))
    with reading(here, ALL, "one-0") as subscription:
        assert seqs(await subscription.next()) == [1, 2, 3]
        page = asyncio.create_task(subscription.next())
        await iterations(2)
        here.log.prune(8)
        assert told(await page)["reason"] == "pruned"


@virtual
async def test_a_cursor_from_a_process_that_is_ahead_waits_for_this_one():
    here = await process()
    here.log.add(3)
    with reading(here, ALL, "one-2") as subscription:
        waiting = asyncio.create_task(subscription.next())
        await settle()
        assert not waiting.done()
        here.hub.publish(here.log.histories["one"])
        assert seqs(await waiting) == [3]


@virtual
async def test_a_new_epoch_is_a_reset_for_the_live_and_the_behind():
    here = await process()
    publish(here, row(1))
    with reading(here, ALL, None) as live, reading(here, ALL, "one-0") as behind:
        waiting = asyncio.create_task(live.next())
        await settle()
        here.log.fail_over("two")
        here.hub.rebase(await here.log.position())
        for message in (told(await waiting), told(await behind.next())):
            assert (message["reason"], message["cursor"]) == ("epoch", "two-1")


@virtual
async def test_subscribe_is_acknowledged_in_the_order_of_the_feed():
    here = await process()
    with reading(here, OF_A, None) as subscription:
        publish(here, row(1), row(2, sender="z"))
        assert seqs(await subscription.next()) == [1]
        publish(here, row(3), row(4, sender="z"))
        subscription.subscribe(OF_Z, None)
        message = told(await subscription.next())
        assert message == {"event": "subscribed", "filter": {"sender": ["z"]}, "cursor": "one-2"}
        assert seqs(await subscription.next()) == [4]


@virtual
async def test_subscribe_while_live_goes_on_from_there():
    here = await process()
    with reading(here, OF_A, None) as subscription:
        waiting = asyncio.create_task(subscription.next())
        await settle()
        publish(here, row(1, sender="z"))
        await settle()
        publish(here, row(2, sender="z"))
        subscription.subscribe(OF_Z, None)
        assert told(await waiting)["cursor"] == "one-1"
        assert seqs(await subscription.next()) == [2]


@virtual
async def test_subscribe_with_a_cursor_rewinds():
    here = await process()
    publish(here, row(1), row(2, sender="z"), row(3))
    with reading(here, ALL, None) as subscription:
        subscription.subscribe(OF_A, "one-0")
        assert told(await subscription.next())["cursor"] == "one-0"
        assert seqs(await subscription.next()) == [1, 3]
        subscription.subscribe(ALL, "nonsense")
        assert told(await subscription.next())["event"] == "subscribed"
        assert told(await subscription.next())["reason"] == "malformed"


@virtual
async def test_unsubscribe_pauses_and_says_where():
    here = await process()
    with reading(here, ALL, None) as subscription:
        publish(here, row(1))
        assert seqs(await subscription.next()) == [1]
        subscription.unsubscribe()
        publish(here, row(2))
        assert told(await subscription.next()) == {"event": "subscribed", "filter": None, "cursor": "one-1"}
        idle = await subscription.next(5)
        assert isinstance(idle, Idle)
        assert str(idle.cursor) == "one-1"
        subscription.subscribe(ALL, None)
        assert told(await subscription.next())["cursor"] == "one-2"
        subscription.unsubscribe()
        subscription.subscribe(ALL, "one-1")
        assert told(await subscription.next())["cursor"] == "one-2"
        assert told(await subscription.next())["cursor"] == "one-1"
        assert seqs(await subscription.next()) == [2]


@pytest.mark.parametrize("control", ["subscribe", "unsubscribe"])
@pytest.mark.parametrize(("cursor", "reason"), [("nonsense", "malformed"), ("two-1", "epoch"), ("one-99", "future")])
@virtual
async def test_a_control_message_does_not_hide_that_a_cursor_cannot_be_served(control, cursor, reason):
    here = await process()
    with reading(here, ALL, cursor) as subscription:
        if control == "subscribe":
            subscription.subscribe(OF_A, None)
        else:
            subscription.unsubscribe()
        acknowledgement = told(await subscription.next())
        if control == "unsubscribe" and reason == "future":
            subscription.subscribe(ALL, acknowledgement["cursor"])
            assert told(await subscription.next())["event"] == "subscribed"
        assert told(await subscription.next())["reason"] == reason
        publish(here, row(1))
        if control == "subscribe":
            assert seqs(await subscription.next()) == [1]


@virtual
async def test_a_good_cursor_makes_up_for_a_bad_one():
    here = await process()
    publish(here, row(1))
    with reading(here, ALL, "nonsense") as subscription:
        subscription.subscribe(ALL, "one-0")
        assert told(await subscription.next())["event"] == "subscribed"
        assert seqs(await subscription.next()) == [1]


@pytest.mark.parametrize("control", ["subscribe", "unsubscribe", "rewind"])
@virtual
async def test_a_page_that_was_being_read_does_not_outlive_a_control_message(control):
    here = await process(ring_bytes=1)
    publish(here, row(1), row(2, sender="z"))
    with reading(here, OF_A, "one-0") as subscription:
        here.log.open.clear()
        page = asyncio.create_task(subscription.next(5))
        await settle()
        if control == "unsubscribe":
            subscription.unsubscribe()
        else:
            subscription.subscribe(OF_Z, "one-1" if control == "rewind" else None)
        here.log.open.set()
        assert told(await page)["cursor"] == ("one-1" if control == "rewind" else "one-0")
        if control == "unsubscribe":
            assert isinstance(await subscription.next(5), Idle)
        else:
            assert seqs(await subscription.next()) == [2]


@virtual
async def test_idle_tells_how_far_the_filter_looked():
    here = await process()
    loop = asyncio.get_running_loop()
    with reading(here, OF_Z, None) as subscription:
        waiting = asyncio.create_task(subscription.next(15))
        await settle()
        publish(here, row(1), row(9))
        idle = await waiting
        assert isinstance(idle, Idle)
        assert str(idle.cursor) == "one-9"
        assert loop.time() == pytest.approx(15)


@virtual
async def test_what_is_said_comes_before_further_events():
    here = await process()
    with reading(here, ALL, "one-0") as subscription:
        publish(here, row(1))
        here.outages.begin("rpc", "it lags")
        assert told(await subscription.next())["event"] == "service.degraded"
        assert seqs(await subscription.next()) == [1]


@virtual
async def test_what_is_said_to_one_who_never_reads_is_bounded():
    here = await process()
    with reading(here, ALL, None) as subscription:
        for _ in range(10_000):
            subscription.subscribe(ALL, None)
        assert len(subscription._inbox) <= 64


@virtual
async def test_close_ends_it_at_once():
    here = await process()
    publish(here, row(1))
    with reading(here, ALL, "one-0") as subscription:
        subscription.close(CLOSE)
        subscription.close(Close(1000, "another"))
        assert await subscription.next() is CLOSE


@virtual
async def test_close_wakes_the_live_and_the_paused():
    here = await process()
    with reading(here, ALL, None) as live, reading(here, ALL, None) as paused:
        paused.unsubscribe()
        await paused.next()
        tasks = [asyncio.create_task(each.next()) for each in (live, paused)]
        await settle()
        for each in (live, paused):
            each.close(CLOSE, catch_up=True)
        assert await asyncio.gather(*tasks) == [CLOSE, CLOSE]


@virtual
async def test_close_with_catch_up_sends_what_is_in_memory_and_asks_no_database(small_pages):
    here = await process(ring_events=4)
    publish(here, *(row(seq) for seq in range(1, 12)))
    with reading(here, ALL, "one-7") as near, reading(here, ALL, "one-1") as far:
        for each in (near, far):
            each.close(CLOSE, catch_up=True)
        assert seqs(await near.next()) == [8, 9, 10]
        assert seqs(await near.next()) == [11]
        assert await near.next() is CLOSE
        assert await far.next() is CLOSE
        assert not here.log.reads


@virtual
async def test_close_with_catch_up_includes_what_is_not_flushed():
    here = await process()
    with reading(here, ALL, None) as subscription:
        waiting = asyncio.create_task(subscription.next())
        await settle()
        publish(here, row(1))
        subscription.close(CLOSE, catch_up=True)
        assert seqs(await waiting) == [1]
        assert await subscription.next() is CLOSE


@virtual
async def test_a_database_that_is_away_delays_a_replay_and_loses_nothing(small_pages):
    here = await process(ring_events=1)
    publish(here, *(row(seq) for seq in range(1, 5)))
    loop = asyncio.get_running_loop()
    with reading(here, ALL, "one-0") as subscription:
        here.log.reachable = False
        waiting = asyncio.create_task(subscription.next())
        await asyncio.sleep(10)
        assert not waiting.done()
        assert len(here.log.reads) <= 11
        here.log.reachable = True
        before = loop.time()
        assert seqs(await waiting) == [1, 2, 3]
        assert loop.time() - before <= 1
        assert seqs(await subscription.next()) == [4]


@pytest.mark.parametrize("cursor", ["one-0", "one-99"])
@pytest.mark.parametrize("news", ["say", "close"])
@virtual
async def test_news_during_a_look_at_a_database_that_is_away_is_told_at_once(small_pages, cursor, news):
    here = await process(ring_events=1)
    publish(here, row(1), row(2))
    loop = asyncio.get_running_loop()
    with reading(here, ALL, cursor) as subscription:
        here.log.open.clear()
        waiting = asyncio.create_task(subscription.next())
        await settle()
        if news == "say":
            here.outages.begin("database", "it cannot be reached")
        else:
            subscription.close(CLOSE, catch_up=True)
        here.log.reachable = False
        here.log.open.set()
        delivery = await waiting
        assert delivery is CLOSE or told(delivery)["event"] == "service.degraded"
        assert loop.time() == 0


@virtual
async def test_a_reconnect_storm_reads_the_database_a_few_at_a_time():
    log = MemoryLog()
    log.add(5)
    here = Process(MemoryStore(log), ring_bytes=1)
    await here.relay.warm_up(0)
    here.log.reads.clear()
    subscriptions = [Subscription(here.feed._history, ALL) for _ in range(50)]
    log.open.clear()
    for each in subscriptions:
        each.start("one-0")
    tasks = [asyncio.create_task(Reader(each).next()) for each in subscriptions]
    await settle()
    assert len(log.reads) == 2
    log.open.set()
    for delivery in await asyncio.gather(*tasks):
        assert isinstance(delivery, Events)
        assert seqs(delivery) == [1, 2, 3, 4, 5]


@virtual
async def test_a_cursor_of_a_process_ahead_makes_the_relay_look_and_is_served_at_once():
    here = await process()
    running = asyncio.create_task(here.relay.run())
    await settle()
    here.log.add(3)
    loop = asyncio.get_running_loop()
    with reading(here, ALL, "one-2") as subscription:
        assert seqs(await subscription.next()) == [3]
    here.log.add(3)
    with reading(here, ALL, "one-6") as subscription:
        waiting = asyncio.create_task(subscription.next())
        await settle()
        assert here.hub.head == 6
        here.log.add(1)
        here.relay.look_soon()
        assert seqs(await waiting) == [7]
    assert loop.time() < 0.01
    running.cancel()


@virtual
async def test_many_that_come_from_a_process_ahead_ask_the_database_a_few_times():
    here = await process()
    here.log.add(3)
    here.log.looks = 0
    here.log.open.clear()
    subscriptions = [Subscription(here.feed._history, ALL) for _ in range(50)]
    for each in subscriptions:
        each.start("one-3")
    tasks = [asyncio.create_task(Reader(each).next(1)) for each in subscriptions]
    await settle()
    running = asyncio.create_task(here.relay.run())
    here.log.open.set()
    assert {str(idle.cursor) for idle in await asyncio.gather(*tasks)} == {"one-3"}
    assert here.log.looks < 10
    assert not here.hub._ahead
    running.cancel()


@virtual
async def test_while_the_hub_is_behind_only_its_arrival_wakes_a_cursor_ahead():
    here = await process()
    published = here.log.add(4)
    with reading(here, ALL, "one-3") as subscription:
        waiting = asyncio.create_task(subscription.next())
        await settle()
        looks = here.log.looks
        here.hub.publish(published[:2])
        await settle()
        assert here.log.looks == looks
        here.hub.publish(published[2:])
        assert seqs(await waiting) == [4]
        assert asyncio.get_running_loop().time() == 0
