"""The hub wakes those, and only those, who want something."""

import asyncio

import pytest

from app.core.filter import EventFilter
from app.core.hub import Hub
from app.core.messages import Events, Idle, pong
from app.core.ports import Position
from tests.support.memory import MemoryLog, MemoryStore, Process, row
from tests.support.virtual import settle, virtual


async def process(**settings) -> Process:
    """A process whose relay does not run: tests publish by hand."""
    made = Process(MemoryStore(MemoryLog()), **settings)
    await made.relay.prime(0)
    return made


def publish(to: Process, *rows) -> None:
    to.hub.publish(to.log.commit(*rows))


def seqs(delivery) -> list[int]:
    assert isinstance(delivery, Events)
    return [event.seq for event in delivery.events]


@virtual
async def test_one_loop_iteration_is_one_flush():
    here = await process()
    with here.feed.subscribe(EventFilter(), None) as subscription:
        waiting = asyncio.create_task(subscription.next())
        await settle()
        publish(here, row(1))
        publish(here, row(2), row(5))
        assert (here.hub.head, here.hub.flushed, here.hub.published) == (5, 0, 3)
        await settle()
        assert here.hub.flushed == 5
        assert seqs(waiting.result()) == [1, 2, 5]


@virtual
async def test_only_who_wants_it_wakes():
    here = await process()
    with (
        here.feed.subscribe(EventFilter(senders=frozenset("a")), None) as mine,
        here.feed.subscribe(EventFilter(senders=frozenset("z")), None) as other,
        here.feed.subscribe(EventFilter(senders=frozenset("a"), recipients=frozenset("z")), None) as neither,
    ):
        tasks = [asyncio.create_task(each.next()) for each in (mine, other, neither)]
        await settle()
        publish(here, row(7, sender="a", recipient="b"))
        await settle()
        assert [task.done() for task in tasks] == [True, False, False]
        assert seqs(tasks[0].result()) == [7]
        assert [str(each.position) for each in (mine, other, neither)] == ["one-7"] * 3
        for task in tasks:
            task.cancel()


@virtual
async def test_nobody_stays_in_the_index():
    here = await process()
    for wanted in (EventFilter(), EventFilter(senders=frozenset("ab"))):
        with here.feed.subscribe(wanted, None) as subscription:
            task = asyncio.create_task(subscription.next())
            await settle()
            assert here.hub._live
            task.cancel()
            await settle()
        assert not here.hub._live
        assert not here.hub.subscriptions


@virtual
async def test_a_flush_larger_than_the_ring_wakes_everyone():
    here = await process(ring_bytes=300)
    with here.feed.subscribe(EventFilter(senders=frozenset("z")), None) as subscription:
        task = asyncio.create_task(subscription.next())
        await settle()
        publish(here, row(1, sender="z"), row(2, size=1000))
        await settle()
        assert seqs(task.result()) == [1]
        assert here.log.reads == [0]


@virtual
async def test_an_empty_publication_is_none():
    here = await process()
    here.hub.publish([])
    assert (here.hub.head, here.hub.published) == (0, 0)


@virtual
async def test_rebase_before_the_flush_loses_nothing():
    here = await process()
    with here.feed.subscribe(EventFilter(), None) as subscription:
        task = asyncio.create_task(subscription.next())
        await settle()
        publish(here, row(1))
        here.log.add(2)
        here.hub.rebase(await here.log.position())
        publish(here, row(4))
        await settle()
        assert seqs(task.result()) == [1, 2, 3, 4]


@virtual
async def test_rebase_with_recent_events_serves_them_from_memory():
    log = MemoryLog()
    events = log.commit(row(3), row(7), row(8))
    here = Process(MemoryStore(log))
    here.hub.rebase(Position("one", 8, 0), events[1:])
    assert here.hub.since(6, 10) == events[1:]
    assert here.hub.since(5, 10) is None
    assert (here.hub.head, here.hub.flushed) == (8, 8)


@virtual
async def test_announcements_reach_the_live_and_the_stalled():
    here = await process()
    wanted = EventFilter(senders=frozenset("z"))
    with here.feed.subscribe(wanted, None) as live, here.feed.subscribe(wanted, None) as stalled:
        task = asyncio.create_task(live.next())
        await settle()
        message = pong()
        here.hub.announce(message)
        await settle()
        assert task.result() is message
        assert await stalled.next() is message


@pytest.mark.parametrize("listening", [False, True])
@virtual
async def test_events_between_the_idle_timer_and_its_reader_are_not_lost(listening):
    """The timer has fired, the reader has not run yet, and the flush is in between."""
    here = await process()
    wanted = EventFilter(senders=frozenset("a")) if listening else EventFilter()
    loop = asyncio.get_running_loop()
    with here.feed.subscribe(wanted, None) as subscription:
        # Registered first, so that it runs just before the idle timer of the same moment.
        loop.call_at(loop.time() + 5, publish, here, row(1))
        delivery = await subscription.next(5)
        assert isinstance(delivery, Idle)
        assert delivery.cursor.seq == 0
        assert seqs(await subscription.next(5)) == [1]


@virtual
async def test_events_between_a_cancellation_and_its_reader_are_not_lost():
    here = await process()
    with here.feed.subscribe(EventFilter(), None) as subscription:
        task = asyncio.create_task(subscription.next())
        await settle()
        publish(here, row(1))
        task.cancel()
        await settle()
        assert task.cancelled()
        assert seqs(await subscription.next()) == [1]


def test_a_hub_without_history_has_no_epoch():
    assert str(Hub(ring_events=1, ring_bytes=1).cursor) == "-0"
