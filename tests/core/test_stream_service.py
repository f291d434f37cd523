"""The write path: whole whatever its client does, tried again when writers meet, finished before the end."""

import asyncio
from dataclasses import replace

import orjson
import pytest
import structlog

from app.core.chain import StreamCancelled, StreamCreated, StreamUpdated
from app.core.errors import (
    Conflict,
    IdempotencyMismatch,
    NotFound,
    PreconditionFailed,
    Unavailable,
    WriteCollision,
)
from app.core.ports import IdempotencyKey
from app.core.precondition import Precondition
from app.core.stream import Status, StreamChange
from tests.core.test_hub import process
from tests.core.test_stream import STREAM
from tests.support.memory import Process
from tests.support.virtual import settle, virtual

NEW = replace(STREAM, version=1)
PAUSE = StreamChange(status=Status.PAUSED)


def published(here: Process) -> list[dict]:
    return [orjson.loads(event.data) for event in here.hub.since(0, 100)]


@virtual
async def test_a_write_is_committed_and_published():
    here = await process()
    created = await here.streams.create(NEW, ("t", 0), None)
    assert orjson.loads(created.body) == NEW.to_json()
    assert not created.replayed
    updated = await here.streams.update(NEW.id, PAUSE, Precondition(frozenset({1})))
    assert updated.version == 2
    assert (await here.streams.cancel(NEW.id, None)).status is Status.CANCELLED
    assert here.store.streams[NEW.id].version == 3
    assert here.store.chain == {("t", 0)}
    assert [(event["event"], event["version"], event["changed"]) for event in published(here)] == [
        ("stream.created", 1, []),
        ("stream.updated", 2, ["status"]),
        ("stream.cancelled", 3, ["status"]),
    ]
    assert published(here)[1]["payload"] == updated.to_json()


@virtual
async def test_a_cancel_that_is_repeated_changes_nothing_more():
    here = await process()
    await here.streams.create(NEW, None, None)
    cancelled = await here.streams.cancel(NEW.id, Precondition(frozenset({1})))
    for again in (None, Precondition(frozenset({1})), Precondition(frozenset({2})), Precondition(frozenset({1, 9}))):
        assert await here.streams.cancel(NEW.id, again) == cancelled
    with pytest.raises(PreconditionFailed):
        await here.streams.cancel(NEW.id, Precondition(frozenset({3})))
    with pytest.raises(Conflict):
        await here.streams.update(NEW.id, StreamChange(status=Status.CANCELLED))
    await here.streams.create(replace(NEW, id="stream-2"), None, None)
    await here.streams.update("stream-2", StreamChange(status=Status.COMPLETED))
    with pytest.raises(Conflict):
        await here.streams.cancel("stream-2")
    assert len(published(here)) == 4


@pytest.mark.parametrize("left", [False, True])
@virtual
async def test_a_write_that_fails_unexpectedly_is_told_once(left):
    here = await process()
    here.store.faults.append(ZeroDivisionError("unexpected"))
    with structlog.testing.capture_logs() as logged:
        caller = asyncio.create_task(here.streams.create(NEW, None, None))
        if left:
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            caller.cancel()
        await settle()
    # Whoever waits for the outcome tells of it; the service only when nobody does.
    assert [entry["event"] for entry in logged] == (["write_failed"] if left else [])
    assert caller.cancelled() if left else isinstance(caller.exception(), ZeroDivisionError)


@virtual
async def test_what_is_refused_leaves_no_trace():
    here = await process()
    await here.streams.create(NEW, None, None)
    with pytest.raises(Conflict):
        await here.streams.create(NEW, None, None)
    with pytest.raises(NotFound):
        await here.streams.update("stream-none", PAUSE, None)
    with pytest.raises(PreconditionFailed):
        await here.streams.update(NEW.id, PAUSE, Precondition(frozenset({7})))
    assert await here.streams.update(NEW.id, StreamChange(status=Status.ACTIVE), None) == NEW
    assert len(published(here)) == 1
    assert not here.streams.writes_in_hand


@virtual
async def test_an_idempotency_key_stands_for_one_request():
    here = await process()
    first = await here.streams.create(NEW, None, IdempotencyKey("k", "f"))
    other = replace(NEW, id="stream-2")
    again = await here.streams.create(other, None, IdempotencyKey("k", "f"))
    assert (again.body, again.replayed) == (first.body, True)
    with pytest.raises(IdempotencyMismatch):
        await here.streams.create(other, None, IdempotencyKey("k", "g"))
    assert len(published(here)) == 1


@virtual
async def test_the_same_request_at_the_same_time_is_done_once():
    here = await process()
    requests = [here.streams.create(replace(NEW, id=f"stream-{n}"), None, IdempotencyKey("k", "f")) for n in range(4)]
    answers = await asyncio.gather(*requests)
    assert len({answer.body for answer in answers}) == 1
    assert sorted(answer.replayed for answer in answers) == [False, True, True, True]
    assert len(here.log.rows) == len(published(here)) == 1


@pytest.mark.parametrize("after", range(25))
@virtual
async def test_a_client_that_leaves_does_not_tear_its_write(after):
    here = await process()
    caller = asyncio.create_task(here.streams.create(NEW, None, None))
    for _ in range(after):
        await asyncio.sleep(0)
    caller.cancel()
    await settle()
    started = after > 0
    assert len(here.log.rows) == len(published(here)) == started
    assert not here.streams.writes_in_hand


@virtual
async def test_a_collision_is_tried_again():
    here = await process()
    here.store.faults.extend(["collision"] * 4)
    await here.streams.create(NEW, None, None)
    assert here.store.units == 5
    assert [event["id"] for event in published(here)] == ["one-5"]


@virtual
async def test_but_not_for_ever():
    here = await process()
    here.store.faults.extend(["collision"] * 9)
    with pytest.raises(WriteCollision):
        await here.streams.create(NEW, None, None)
    assert here.store.units == 5
    assert published(here) == []


@pytest.mark.parametrize(("fault", "ids"), [("lost", ["one-2"]), ("unknown", ["one-1", "one-2"])])
@virtual
async def test_a_failed_commit_is_told_and_the_next_write_publishes_the_truth(fault, ids):
    here = await process()
    here.store.faults.append(fault)
    with pytest.raises(Unavailable):
        await here.streams.create(NEW, None, None)
    assert published(here) == []
    await here.streams.create(replace(NEW, id="stream-2"), None, None)
    await here.relay._look()
    assert [event["id"] for event in published(here)] == ids


@virtual
async def test_a_commit_that_comes_late_is_published_in_its_place():
    here = await process()
    here.store.faults.append("late")
    with pytest.raises(Unavailable):
        await here.streams.create(NEW, None, None)
    second = asyncio.create_task(here.streams.create(replace(NEW, id="stream-2"), None, None))
    await settle()
    assert not second.done()
    await here.store.finish_late()
    await second
    await here.relay._look()
    assert [event["id"] for event in published(here)] == ["one-1", "one-2"]


@virtual
async def test_a_write_that_hangs_is_told_and_goes_on():
    here = await process()
    here.store.open.clear()
    with pytest.raises(Unavailable, match="may still be done"):
        await here.streams.create(NEW, None, None)
    assert asyncio.get_running_loop().time() == pytest.approx(10)
    here.store.open.set()
    await settle()
    assert len(published(here)) == 1


@virtual
async def test_drain_finishes_what_is_in_hand_and_takes_no_more():
    here = await process()
    here.store.open.clear()
    writes = [asyncio.create_task(here.streams.create(replace(NEW, id=f"stream-{n}"), None, None)) for n in range(3)]
    await settle()
    draining = asyncio.create_task(here.streams.drain())
    await settle()
    assert not draining.done()
    with pytest.raises(Unavailable):
        await here.streams.create(NEW, None, None)
    here.store.open.set()
    await draining
    assert len(published(here)) == 3
    await asyncio.gather(*writes)
    await here.streams.drain()


@virtual
async def test_writers_at_the_same_time_are_published_in_order_and_none_is_lost():
    here = await process(ring_events=100)
    await here.streams.create(NEW, None, None)
    changes = [StreamChange(streamed_amount=str(100 + n)) for n in range(20)]
    await asyncio.gather(*(here.streams.update(NEW.id, change, None) for change in changes))
    assert [event["version"] for event in published(here)] == list(range(1, 22))


@virtual
async def test_a_batch_says_of_each_event_what_became_of_it():
    here = await process(ring_events=100)
    batch = [
        StreamCreated(NEW.id, ("t", 0), lambda _: NEW),
        StreamUpdated(NEW.id, ("t", 1), PAUSE),
        StreamUpdated(NEW.id, ("t", 1), PAUSE),
        StreamUpdated(NEW.id, ("t", 2), PAUSE),
        StreamUpdated(NEW.id, ("t", 3), StreamChange(status=Status.COMPLETED)),
        StreamCancelled(NEW.id, ("t", 4)),
        StreamCancelled(NEW.id, ("t", 5)),
        StreamCancelled("stream-none", ("t", 6)),
        StreamCreated(NEW.id, ("t", 7), lambda _: NEW),
    ]
    results = await here.streams.ingest(batch)
    assert [(result.action, *result.ids) for result in results] == [
        ("created", "one-1"),
        ("updated", "one-2"),
        ("ignored",),
        ("ignored",),
        ("updated", "one-3"),
        ("rejected",),
        ("rejected",),
        ("rejected",),
        ("ignored",),
    ]
    assert all((result.error is not None) == (result.action == "rejected") for result in results)
    assert [event["id"] for event in published(here)] == ["one-1", "one-2", "one-3"]
    again = await here.streams.ingest(batch)
    assert {result.action for result in again} == {"ignored", "rejected"}
    assert len(published(here)) == 3


@virtual
async def test_a_rejected_chain_event_may_come_again_in_its_turn():
    here = await process()
    late = StreamUpdated(NEW.id, ("t", 1), PAUSE)
    assert [result.action for result in await here.streams.ingest([late])] == ["rejected"]
    assert [
        result.action for result in await here.streams.ingest([StreamCreated(NEW.id, ("t", 0), lambda _: NEW), late])
    ] == [
        "created",
        "updated",
    ]
    assert await here.streams.ingest([]) == []


@pytest.mark.parametrize("leaves", [False, True])
@virtual
async def test_a_write_that_fails_is_logged_once_by_whoever_hears_of_it(monkeypatch, leaves):
    here = await process()

    async def broken(_: object) -> None:
        await asyncio.sleep(1)
        raise ZeroDivisionError

    monkeypatch.setattr(here.streams._writer, "_commit", broken)
    with structlog.testing.capture_logs() as lines:
        writing = asyncio.create_task(here.streams.ingest([]))
        await asyncio.sleep(0.5)
        if leaves:
            writing.cancel()
        await asyncio.sleep(2)
    assert [line["event"] for line in lines] == (["write_failed"] if leaves else [])
    assert leaves or isinstance(writing.exception(), ZeroDivisionError)
