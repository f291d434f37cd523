"""Units of work that share a transaction: each caller hears of its own, and one's failure is nobody else's."""

import asyncio
import random
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from app.core.access.acting import ACTING
from app.core.access.ports import Actor
from app.core.chain import StreamUpdated
from app.core.errors import Conflict, Unavailable
from app.core.ports import IdempotencyKey
from app.core.precondition import Precondition
from app.core.stream import Status, StreamChange
from tests.core.test_stream_service import NEW, process, published
from tests.support.memory import MemoryUnit
from tests.support.virtual import virtual


def new(number: int):
    return replace(NEW, id=f"stream-{number:03}")


@virtual
async def test_those_that_wait_share_a_transaction():
    here = await process()
    answers = await asyncio.gather(*(here.streams.create(new(n), None, None) for n in range(40)))
    assert [answer.stream_id for answer in answers] == [new(n).id for n in range(40)]
    assert here.store.units == 1
    assert sorted(event["streamId"] for event in published(here)) == [new(n).id for n in range(40)]
    assert not here.streams.writes_in_hand


@virtual
async def test_one_that_is_refused_is_refused_alone():
    here = await process()
    await here.streams.create(new(7), None, None)
    answers = await asyncio.gather(
        *(here.streams.create(new(n), None, None) for n in range(20)), return_exceptions=True
    )
    refused = [number for number, answer in enumerate(answers) if isinstance(answer, Exception)]
    assert refused == [7]
    assert isinstance(answers[7], Conflict)
    assert len(published(here)) == len(here.log.rows) == 20


@virtual
async def test_a_collision_of_the_group_is_tried_one_by_one():
    here = await process()
    here.store.faults.append("collision")
    await asyncio.gather(*(here.streams.create(new(n), None, None) for n in range(5)))
    assert len(published(here)) == len(here.log.rows) == 5


@pytest.mark.parametrize("fault", ["lost", "unknown"])
@virtual
async def test_when_the_commit_fails_every_caller_of_the_group_is_told(fault):
    here = await process()
    here.store.faults.append(fault)
    answers = await asyncio.gather(*(here.streams.create(new(n), None, None) for n in range(5)), return_exceptions=True)
    assert [type(answer) for answer in answers] == [Unavailable] * 5
    # Nothing is done twice: what may be committed is not tried again.
    assert len(here.log.rows) == (5 if fault == "unknown" else 0)


@virtual
async def test_when_the_database_goes_away_in_a_unit_not_each_waits_for_it(monkeypatch):
    here = await process()

    async def gone(*_: object) -> None:
        raise Unavailable("the database cannot be reached")

    monkeypatch.setattr(MemoryUnit, "insert", gone)
    answers = await asyncio.gather(*(here.streams.create(new(n), None, None) for n in range(5)), return_exceptions=True)
    assert [type(answer) for answer in answers] == [Unavailable] * 5
    # The group, and two of it alone; the others are not tried.
    assert here.store.units == 3


@virtual
async def test_the_same_stream_twice_in_a_group_is_seen_by_the_second():
    here = await process()
    answers = await asyncio.gather(
        *(here.streams.create(new(n), None, None) for n in (1, 2, 2, 3)), return_exceptions=True
    )
    assert [isinstance(answer, Conflict) for answer in answers] == [False, False, True, False]
    assert len(published(here)) == 3


@virtual
async def test_each_is_recorded_with_who_asked():
    here = await process()

    async def create(number: int) -> None:
        ACTING.set(Actor(principal=f"key:{number}", action="create"))
        await here.streams.create(new(number), None, None)

    await asyncio.gather(*(asyncio.create_task(create(n)) for n in range(6)))
    assert here.store.units == 1
    assert sorted(here.store.recorded) == [(f"key:{n}", new(n).id) for n in range(6)]


@pytest.mark.parametrize("turns", range(40))
@virtual
async def test_one_that_comes_while_the_last_ends_does_not_wait_for_another(turns):
    """Whatever turn of the loop it comes in: a runner that has looked for the last time takes nothing more."""
    here = await process()
    first = asyncio.create_task(here.streams.create(new(1), None, None))
    for _ in range(turns):
        await asyncio.sleep(0)
    others = [asyncio.create_task(here.streams.create(new(n), None, None)) for n in (2, 3)]
    await asyncio.gather(first, *others)
    assert len(published(here)) == 3


def asked(here, chance: random.Random):
    """One write of some kind, on one of four streams."""
    name = f"stream-{chance.randrange(4)}"
    key = IdempotencyKey(f"k{chance.randrange(3)}", "f") if chance.random() < 0.4 else None
    chain_key = (f"t{chance.randrange(4)}", 0) if chance.random() < 0.4 else None
    status = chance.choice([Status.PAUSED, Status.ACTIVE, Status.COMPLETED])
    expected = Precondition(frozenset({chance.randrange(1, 4)})) if chance.random() < 0.3 else None
    return chance.choice([
        lambda: here.streams.create(replace(NEW, id=name), chain_key, key),
        lambda: here.streams.create(replace(NEW, id=name), chain_key, key),
        lambda: here.streams.update(name, StreamChange(status=status), expected),
        lambda: here.streams.cancel(name, expected),
        lambda: here.streams.ingest([StreamUpdated(name, chain_key or ("t9", 0), StreamChange(status=status))]),
    ])  # fmt: skip


@pytest.mark.parametrize("seed", range(60))
@virtual
async def test_what_shares_a_transaction_ends_as_one_after_the_other(seed):
    alone, together = await process(), await process()
    for here in (alone, together):
        here.streams._clock = lambda: datetime(2026, 1, 1, tzinfo=UTC)
        await here.streams.create(replace(NEW, id="stream-0"), None, None)
        await here.streams.create(replace(NEW, id="stream-1"), ("t0", 0), IdempotencyKey("k0", "f"))
    first = [asked(alone, random.Random(f"{seed} {number}")) for number in range(30)]
    second = [asked(together, random.Random(f"{seed} {number}")) for number in range(30)]
    one_by_one = [repr(await asyncio.gather(each(), return_exceptions=True)) for each in first]
    at_once = [repr([each]) for each in await asyncio.gather(*(each() for each in second), return_exceptions=True)]
    assert at_once == one_by_one
    assert together.store.units < alone.store.units
    assert together.store.streams == alone.store.streams
    assert together.store.chain == alone.store.chain
    assert together.store.replays == alone.store.replays
    assert published(together) == published(alone)
    assert any("Conflict(" in each for each in at_once)
