"""Thousands want to go on at once, and others have their turns, too."""

import asyncio
import time
from collections import deque

from app.core.filter import UNFILTERED
from app.core.history import History
from app.core.hub import Hub
from app.core.ports import Position
from app.core.subscription import Subscription
from app.core.turns import Turns


async def steps_of_turns(done: deque) -> list[int]:
    """How many more were done in each turn of the loop, until all are."""
    counts, before = [], 0
    while len(done) < done.maxlen:
        await asyncio.sleep(0)
        counts.append(len(done) - before)
        before = len(done)
    return counts


def work(seconds: float) -> None:
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        pass


async def test_all_get_as_many_turns_as_they_want_in_order_and_others_are_not_held_up():
    turns, went = Turns(), deque(maxlen=3000)

    async def climb(number: int) -> None:
        for step in range(3):
            await turns.next()
            work(0.0001)
            went.append((step, number))

    tasks = [asyncio.create_task(climb(number)) for number in range(1000)]
    counts = await steps_of_turns(went)
    await asyncio.gather(*tasks)
    assert list(went) == [(step, number) for step in range(3) for number in range(1000)]
    # Steps of 0.1 ms, about 2 ms of them in a turn, or twice as many as before: all at once, it would be 1,000.
    assert max(counts) <= 64


async def test_where_a_step_is_long_there_are_few_in_a_turn_and_where_it_is_short_there_are_many():
    async def turns_of(count: int, seconds: float) -> int:
        turns, done = Turns(), deque(maxlen=count)

        async def step() -> None:
            await turns.next()
            work(seconds)
            done.append(seconds)

        tasks = [asyncio.create_task(step()) for _ in range(count)]
        taken = len(await steps_of_turns(done))
        await asyncio.gather(*tasks)
        return taken

    assert await turns_of(100, 0.003) > 60
    assert await turns_of(5000, 0) < 100


async def test_alone_one_waits_for_nobody():
    turns, called = Turns(), []
    turns.call(lambda: called.append("at once"))
    assert called == ["at once"]
    await asyncio.wait_for(turns.next(), 1)


async def test_one_that_is_cancelled_while_it_waits_costs_nobody_a_turn():
    turns, done = Turns(), []

    async def step(number: int) -> None:
        await turns.next()
        done.append(number)

    tasks = [asyncio.create_task(step(number)) for number in range(200)]
    await asyncio.sleep(0)
    for task in tasks[50:150]:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert done == [*range(50), *range(150, 200)]
    await asyncio.wait_for(turns.next(), 1)


async def test_one_that_fails_holds_up_nobody():
    turns, called = Turns(most=1), []

    def fail() -> None:
        raise ValueError

    for act in (lambda: called.append(1), fail, lambda: called.append(2)):
        turns.call(act)
    await asyncio.wait_for(turns.next(), 1)
    assert called == [1, 2]


class Woken:
    """An outlet of a client that waits for events."""

    full = False

    def __init__(self, woken: deque) -> None:
        self.woken = woken

    def wake(self) -> None:
        self.woken.append(self)


async def test_a_new_epoch_wakes_a_share_of_the_clients_in_each_turn():
    hub, woken = Hub(ring_events=10, ring_bytes=1 << 20), deque(maxlen=1000)
    hub.rebase(Position("one", 0, 0))
    history = History(hub, None, look=lambda: None, concurrency=1)
    outlets = [Woken(woken) for _ in range(1000)]
    for outlet in outlets:
        subscription = Subscription(history, UNFILTERED)
        hub.subscriptions.add(subscription)
        subscription.attach(outlet)
    assert not woken
    hub.rebase(Position("two", 0, 0))
    assert len(hub.audience) == 0
    assert len(woken) <= 128
    assert max(await steps_of_turns(woken)) <= 128
    assert set(woken) == set(outlets)
