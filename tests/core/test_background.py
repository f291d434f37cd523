"""A background task that fails is told, counted and started again; one failure is nobody else's."""

import asyncio
from itertools import pairwise

import pytest
from structlog.testing import capture_logs

from app.core.background import Background
from app.core.backoff import Backoff, pause_after
from tests.support.virtual import virtual


def now() -> float:
    return asyncio.get_running_loop().time()


@pytest.mark.parametrize("end", [RuntimeError("broken"), None])
@virtual
async def test_a_task_that_ends_is_started_again_while_others_go_on(end):
    starts: list[float] = []
    ticks = 0

    async def fails() -> None:
        starts.append(now())
        await asyncio.sleep(0)
        if end:
            raise end

    async def goes_on() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(1)
            ticks += 1

    background = Background()
    with capture_logs() as lines:
        async with background.running({"bad": fails, "good": goes_on}):
            await asyncio.sleep(60.5)
    assert ticks == 60
    assert background.failures["good"] == 0
    assert background.failures["bad"] == len(starts) == len(lines)
    pauses = [after - before for before, after in pairwise(starts)]
    assert all(0.05 <= pause <= 5.01 for pause in pauses)
    assert all(pause >= 2.5 for pause in pauses[8:])
    assert {(line["event"], line["task"], line["log_level"]) for line in lines} == {("task_failed", "bad", "error")}
    # One traceback is enough.
    assert [bool(line.get("exc_info")) for line in lines].count(True) == (1 if end else 0)


@virtual
async def test_after_a_time_that_went_well_the_pause_is_short_again():
    lasts = [0, 0, 0, 0, 60, 0]
    told: list[bool] = []
    begun: list[float] = []

    async def work() -> None:
        begun.append(now())
        await asyncio.sleep(lasts[len(begun) - 1] if len(begun) <= len(lasts) else 1000)
        raise OSError

    running = asyncio.create_task(Backoff().run(work, lambda _, first: told.append(first)))
    await asyncio.sleep(100)
    running.cancel()
    assert told[:6] == [True, False, False, False, True, False]
    assert begun[5] - begun[4] - 60 <= 0.1


@virtual
async def test_what_the_caller_does_not_expect_ends_it():
    async def work() -> None:
        raise KeyError("odd")

    def failed(error: Exception | None, first: bool) -> None:
        raise error

    with pytest.raises(KeyError):
        await Backoff().run(work, failed)


def test_pauses_double_up_to_a_limit():
    assert [pause_after(count) for count in (1, 2, 3, 4, 5, 6, 7, 100, 10_000)] == [
        0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0, 5.0
    ]  # fmt: skip
