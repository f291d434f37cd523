"""The relay keeps the hub equal to the log, whatever breaks the straight way."""

import asyncio

import pytest

from app.core import relay as relay_module
from app.core.background import Background
from app.core.cursor import Cursor
from app.core.errors import Unavailable
from app.core.ports import Appended, Position
from tests.core.test_hub import process
from tests.support.memory import MemoryLog, MemoryStore, Process, row
from tests.support.virtual import iterations, settle, virtual


def held(here: Process) -> list[int]:
    return [event.seq for event in here.hub.since(here.hub._ring.floor, 1000)]


async def write(here: Process, *rows) -> None:
    after = Position(here.log.epoch, here.log.head, here.log.floor).at(here.log.head)
    here.relay.publish_committed(Appended(after, here.log.commit(*rows)))


async def write_and_look(here: Process, *rows) -> None:
    async with here.relay.append_lock():
        await write(here, *rows)
    assert here.relay._wanted.is_set(), "nobody would look"
    assert await here.relay._look()


@virtual
async def test_the_straight_way_asks_the_database_nothing():
    here = await process()
    here.log.looks = 0
    async with here.relay.append_lock():
        await write(here, row(1), row(2))
    async with here.relay.append_lock():
        await write(here, row(5))
    assert held(here) == [1, 2, 5]
    assert (here.log.looks, here.log.reads) == (0, [])


@virtual
async def test_another_process_was_first():
    here = await process()
    here.log.add(2)
    here.log.looks = 0
    async with here.relay.append_lock():
        await write(here, row(3))
    assert (held(here), here.log.looks) == ([], 0), "the writer waits for nothing"
    assert here.relay.lag.events == 3
    running = asyncio.create_task(here.relay.run())
    await settle()
    assert held(here) == [1, 2, 3]
    assert asyncio.get_running_loop().time() == 0
    async with here.relay.append_lock():
        await write(here, row(4))
    assert held(here) == [1, 2, 3, 4]
    running.cancel()


@virtual
async def test_after_a_commit_of_unknown_outcome_it_looks():
    here = await process()

    async def failing() -> None:
        async with here.relay.append_lock():
            here.log.add(1)
            raise Unavailable("the connection was lost in the commit")

    with pytest.raises(Unavailable):
        await failing()
    assert held(here) == []
    await write_and_look(here, row(2))
    assert held(here) == [1, 2]
    here.log.looks = 0
    async with here.relay.append_lock():
        await write(here, row(3))
    assert here.log.looks == 0


@virtual
async def test_a_cancelled_turn_is_doubtful_too_and_looked_at_at_once():
    here = await process()
    running = asyncio.create_task(here.relay.run())
    await settle()

    async def writer() -> None:
        async with here.relay.append_lock():
            here.log.add(1)
            await asyncio.sleep(60)

    task = asyncio.create_task(writer())
    await settle()
    task.cancel()
    await settle()
    assert held(here) == [1]
    assert asyncio.get_running_loop().time() == 0
    running.cancel()


@virtual
async def test_a_database_that_goes_away_in_the_hand_over_does_not_fail_the_write():
    here = await process()
    here.log.add(1)
    async with here.relay.append_lock():
        here.log.reachable = False
        await write(here, row(2))
    assert held(here) == []
    here.log.reachable = True
    running = asyncio.create_task(here.relay.run())
    await settle()
    assert held(here) == [1, 2]
    running.cancel()


@virtual
async def test_it_finds_what_others_write_and_says_when_it_cannot():
    here = await process()
    running = asyncio.create_task(here.relay.run())
    await settle()
    here.log.add(3)
    await asyncio.sleep(1.1)
    assert held(here) == [1, 2, 3]
    here.log.reachable = False
    await asyncio.sleep(5)
    assert "database" in here.outages
    assert here.relay.latency_ms is None
    here.log.add(1)
    here.log.reachable = True
    await asyncio.sleep(2.1)
    assert "database" not in here.outages
    assert held(here) == [1, 2, 3, 4]
    running.cancel()


@virtual
async def test_a_failure_nobody_thought_of_does_not_end_it(monkeypatch):
    here = await process()

    async def broken() -> Position:
        raise RuntimeError("a bug")

    background = Background()
    with monkeypatch.context() as patch:
        patch.setattr(here.log, "position", broken)
        async with background.running({"relay": here.relay.run}):
            await asyncio.sleep(5)
            assert background.failures["relay"] > 2
            assert relay_module.DATABASE in here.outages
            patch.undo()
            here.log.add(1)
            await asyncio.sleep(6)
            assert held(here) == [1]
            assert relay_module.DATABASE not in here.outages


@pytest.mark.parametrize("losing", [0, 2])
@virtual
async def test_a_failover_is_another_epoch(losing):
    here = await process()
    async with here.relay.append_lock():
        await write(here, row(1), row(2), row(3))
    here.log.fail_over("two", losing=losing)
    await write_and_look(here, row(9))
    assert str(here.hub.cursor) == "two-9"
    assert here.hub.since(0, 10) is None


@virtual
async def test_a_log_that_was_cut_is_another_position():
    here = await process()
    async with here.relay.append_lock():
        await write(here, row(1), row(2), row(3))
    del here.log.rows[1:]
    await here.relay._look()
    assert str(here.hub.cursor) == "one-1"


@virtual
async def test_a_failover_between_two_looks_at_the_log_does_not_hold_the_turn_for_ever():
    here = await process()
    here.log.add(5)
    looking = asyncio.create_task(here.relay._look())
    await iterations(2)
    here.log.fail_over("two", losing=5)
    here.log.drawn = 5
    await iterations(50)
    assert looking.done()
    await write_and_look(here, row(6))
    assert str(here.hub.cursor) == "two-6"


@virtual
async def test_pruned_beyond_the_hub_it_goes_on_from_the_head():
    here = await process()
    here.log.add(9)
    here.log.prune(6)
    await here.relay._look()
    assert str(here.hub.cursor) == "one-9"
    assert here.hub.since(8, 10) is None
    async with here.relay.append_lock():
        await write(here, row(10))
    assert held(here) == [10]


@virtual
async def test_it_reads_long_gaps_in_pages(monkeypatch):
    monkeypatch.setattr(relay_module, "_PAGE", 4)
    here = await process(ring_events=100)
    here.log.add(11)
    await here.relay._look()
    assert held(here) == list(range(1, 12))
    assert here.log.reads == [0, 4, 8]


@pytest.mark.parametrize(("recent", "kept"), [(0, []), (5, [7, 8, 9, 10, 11]), (50, list(range(4, 12)))])
@virtual
async def test_it_starts_with_the_newest_events_in_memory(monkeypatch, recent, kept):
    monkeypatch.setattr(relay_module, "_PAGE", 2)
    log = MemoryLog()
    log.add(11)
    log.prune(3)
    here = Process(MemoryStore(log), ring_events=100)
    await here.relay.warm_up(recent)
    assert str(here.hub.cursor) == "one-11"
    assert held(here) == kept
    assert here.hub.flushed == 11


@virtual
async def test_it_starts_although_the_log_is_pruned_meanwhile():
    log = MemoryLog()
    log.add(11)
    here = Process(MemoryStore(log), ring_events=100)
    priming = asyncio.create_task(here.relay.warm_up(11))
    await iterations(3)
    log.prune(8)
    await priming
    assert str(here.hub.cursor) == "one-11"
    assert held(here) == []


@virtual
async def test_after_a_commit_that_was_undone_the_straight_way_is_straight_again():
    here = await process()
    with pytest.raises(Unavailable):
        async with here.relay.append_lock():
            here.log.draw()
            raise Unavailable("the connection was lost in the commit")
    here.log.looks = 0
    async with here.relay.append_lock():
        await write(here, row(2))
    assert (held(here), here.log.looks) == ([2], 0)


@virtual
async def test_a_hand_over_in_the_middle_of_a_look_is_not_published_twice():
    for turns in range(12):
        here = await process()
        here.log.add(1)
        looking = asyncio.create_task(here.relay._look())
        await iterations(turns)
        async with here.relay.append_lock():
            await write(here, row(2))
        await looking
        await here.relay._look()
        assert held(here) == [1, 2], f"after {turns} turns"


@virtual
async def test_a_look_that_a_hand_over_overtakes_does_not_throw_it_away():
    here = await process()
    async with here.relay.append_lock():
        await write(here, row(1))
    here.log.open.clear()
    position = await_position_of_before(here)
    looking = asyncio.create_task(here.relay._look())
    await settle()
    async with here.relay.append_lock():
        await write(here, row(2))
    position.set_result(None)
    here.log.open.set()
    await looking
    assert held(here) == [1, 2]


def await_position_of_before(here: Process) -> asyncio.Future[None]:
    """The next position is what it is now, and comes when the future is done: an answer that took its time."""
    old = Position(here.log.epoch, here.log.head, here.log.floor)
    arrived = asyncio.get_running_loop().create_future()

    async def position() -> Position:
        await arrived
        return old

    here.log.position = position
    return arrived


def appended(here: Process, start: int, end: int, epoch: str | None = None) -> Appended:
    events = [event for event in here.log.histories[here.log.epoch] if start < event.seq <= end]
    return Appended(Cursor(epoch or here.log.epoch, start), events)


@pytest.mark.parametrize(
    ("start", "end", "kept", "looked"),
    [
        (3, 5, [1, 2, 3, 4, 5], False),  # what follows
        (0, 3, [1, 2, 3], False),  # what it has
        (2, 6, [1, 2, 3, 4, 5, 6], False),  # what begins with what it has
        (4, 6, [1, 2, 3], True),  # what leaves a gap
    ],
)
@virtual
async def test_a_tail_may_bring_events_again_or_leave_some_out(start, end, kept, looked):
    here = await process()
    here.log.add(3)
    await here.relay._look()
    here.log.add(3)
    here.relay.offer(appended(here, start, end))
    assert (held(here), here.relay._wanted.is_set()) == (kept, looked)
    await here.relay._look()
    assert held(here) == [1, 2, 3, 4, 5, 6]


@virtual
async def test_a_tail_that_brings_another_history_makes_it_look():
    here = await process()
    here.log.add(3)
    await here.relay._look()
    here.relay.offer(appended(here, 0, 3, epoch="two"))
    assert (held(here), here.relay._wanted.is_set()) == ([1, 2, 3], True)


@virtual
async def test_a_wish_during_a_look_is_another_look():
    here = await process()
    running = asyncio.create_task(here.relay.run())
    await settle()
    here.log.looks = 0
    position = await_position_of_before(here)
    here.relay.look_soon()
    await settle()
    here.log.add(1)
    here.relay.look_soon()
    here.relay.look_soon()
    del here.log.position
    position.set_result(None)
    await settle()
    assert (held(here), here.log.looks) == ([1], 1)
    assert asyncio.get_running_loop().time() == 0
    running.cancel()


@virtual
async def test_lag_counts_from_the_first_sign_of_news_until_they_are_published():
    here = await process()
    running = asyncio.create_task(here.relay.run())
    await settle()
    assert (here.relay.lag.events, here.relay.lag.seconds) == (0, 0)
    here.log.open.clear()
    here.log.add(4)
    here.relay.look_soon()
    await asyncio.sleep(3)
    here.relay.look_soon()
    assert here.relay.lag.seconds == 3
    here.log.reachable = False
    here.log.open.set()
    await asyncio.sleep(4)
    assert here.relay.lag.seconds == 7
    here.log.reachable = True
    await asyncio.sleep(1)
    assert (here.relay.lag.events, here.relay.lag.seconds) == (0, 0)
    assert str(here.relay.committed) == "one-4"
    running.cancel()


@virtual
async def test_a_look_waits_for_a_tail_that_carries_events_and_not_for_long():
    here = await process()
    here.log.add(3)
    await here.relay._look()
    here.log.add(1)
    here.relay.offer(appended(here, 3, 4))
    here.log.add(2)
    here.log.reads.clear()
    loop = asyncio.get_running_loop()
    loop.call_later(relay_module._OFFER_SECONDS / 2, here.relay.offer, appended(here, 4, 6))
    assert await here.relay._look()
    assert (held(here), here.log.reads) == ([1, 2, 3, 4, 5, 6], [])
    assert here.relay.published["tail"] == 3
    here.log.add(1)
    begun = loop.time()
    assert await here.relay._look()
    assert held(here)[-1] == 7
    assert loop.time() - begun == pytest.approx(relay_module._OFFER_SECONDS)


@virtual
async def test_a_look_does_not_wait_for_a_tail_that_has_a_gap_or_says_nothing():
    here = await process()
    here.log.add(3)
    await here.relay._look()
    loop = asyncio.get_running_loop()
    here.log.add(1)
    here.relay.offer(appended(here, 3, 4))
    here.log.add(3)
    here.relay.offer(appended(here, 5, 7))
    begun = loop.time()
    assert await here.relay._look()
    assert (held(here)[-1], loop.time() - begun) == (7, 0)
    here.log.add(1)
    here.relay.offer(appended(here, 7, 8))
    await asyncio.sleep(relay_module._OFFERING_SECONDS)
    here.log.add(1)
    begun = loop.time()
    assert await here.relay._look()
    assert (held(here)[-1], loop.time() - begun) == (9, 0)
