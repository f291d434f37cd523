"""Work for many clients leaves room for other work, and takes it while there is none."""

import asyncio
import time

from app.core.slices import _LONGEST, _SHORTEST, SLICE_SECONDS, Slices, in_slices


async def test_what_is_done_to_all_is_done_to_each_in_order_and_others_get_turns():
    things, longest, going = [list(range(500))], 0.0, True

    async def other() -> None:
        nonlocal longest
        before = time.perf_counter()
        while going:
            await asyncio.sleep(0)
            now = time.perf_counter()
            before, longest = now, max(longest, now - before)

    beside, done = asyncio.create_task(other()), []
    await asyncio.sleep(0)
    async for thing in in_slices(things[0]):
        things[0].append(-1)
        done.append(thing)
        until = time.perf_counter() + 0.0001
        while time.perf_counter() < until:
            pass
    going = False
    await beside
    assert done == list(range(500))
    # All at once it would be 50 ms.
    assert longest < 10 * SLICE_SECONDS


def test_slices_grow_while_nothing_else_has_work_and_are_short_beside_it():
    slices, now, lengths = Slices(), 1.0, []
    for others in (0.01, 0.00002, 0.00002, 0.00002, 0.00002, 0.00002, 0.001, 0.00002):
        now += others
        until = slices.begin(now)
        lengths.append(round(until - now, 6))
        slices.end(now := until)
    assert lengths == [_SHORTEST, 0.0004, 0.0008, 0.0016, _LONGEST, _LONGEST, _SHORTEST, 0.0004]
