"""Thousands want to go on at once, and others have their turns, too."""

import asyncio
import time

from app.core.turns import Turns


async def longest_turn(until) -> tuple[float, int]:
    """The longest turn of the loop in seconds, and how many there were."""
    longest, count = 0.0, 0
    while not until():
        begun = time.perf_counter()
        await asyncio.sleep(0)
        longest, count = max(longest, time.perf_counter() - begun), count + 1
    return longest, count


def work(seconds: float) -> None:
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        pass


async def test_all_get_as_many_turns_as_they_want_in_order_and_others_are_not_held_up():
    turns, went = Turns(), []

    async def climb(number: int) -> None:
        for step in range(3):
            await turns.next()
            work(0.0001)
            went.append((step, number))

    tasks = [asyncio.create_task(climb(number)) for number in range(1000)]
    longest, count = await longest_turn(lambda: all(task.done() for task in tasks))
    assert went == [(step, number) for step in range(3) for number in range(1000)]
    # 3,000 steps of 0.1 ms, about 2 ms of them in a turn: all at once, there were three turns of 100 ms.
    assert longest < 0.05
    assert count > 60


async def test_where_a_step_is_long_there_are_few_in_a_turn_and_where_it_is_short_there_are_many():
    async def turns_of(count: int, seconds: float) -> int:
        turns, done = Turns(), []

        async def step() -> None:
            await turns.next()
            work(seconds)
            done.append(seconds)

        tasks = [asyncio.create_task(step()) for _ in range(count)]
        _, taken = await longest_turn(lambda: len(done) == count)
        await asyncio.gather(*tasks)
        return taken

    assert await turns_of(60, 0.003) > 30
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
