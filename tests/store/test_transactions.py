"""What is inserted waits for the next statement; whoever looks sees no difference."""

import asyncio
from dataclasses import replace

import pytest
from sqlalchemy import select

from app.core.access.ports import Actor
from app.core.clock import timestamp, utc_now
from app.core.errors import WriteCollision
from app.core.event import Draft, EventName
from app.core.ports import IdempotencyKey, Replay
from app.store.tables import audit, stream_events
from tests.store.conftest import new_stream

NOW = timestamp(utc_now())
ODD = 'a "quote", a \\ and a \' and \u2028, \U0001f600 and {"json":[1]}\n'


async def test_what_a_unit_wrote_it_reads(open_store):
    async with open_store() as opened:
        stream = new_stream(NOW)
        async with opened.store.begin() as unit:
            await unit.insert([stream])
            await unit.mark_seen([("a" * 64, 1), ("b" * 64, 2)])
            await unit.remember(IdempotencyKey("one", "f"), ODD.encode())
            await unit.remember(IdempotencyKey("two", "f"), b"{}")
            assert await unit.lock([stream.id, "unknown"]) == {stream.id: stream}
            assert await unit.seen([("a" * 64, 1), ("a" * 64, 2)]) == {("a" * 64, 1)}
            assert await unit.recall(["one", "three"]) == {"one": Replay("f", ODD.encode())}
            changed = replace(stream, version=2, streamed_amount="1")
            await unit.update([changed])
            assert await unit.lock([stream.id]) == {stream.id: changed}
        assert await opened.store.get(stream.id) is None


@pytest.mark.parametrize("many", [1, 30, 40, 300])
async def test_however_many_they_are(open_store, many):
    """Few rows and many go in different ways."""
    async with open_store() as opened:
        streams = [replace(new_stream(NOW), sender=ODD, contract_id=None, event_index=None) for _ in range(many)]
        actor = Actor("key:k", "post", "r", "127.0.0.1", {"odd": ODD})
        before = await opened.log.position()
        async with opened.store.begin() as unit:
            await unit.insert(streams)
            await unit.mark_seen([("c" * 64, number) for number in range(many)])
            appended = await unit.append([Draft(EventName.CREATED, each, (), NOW) for each in streams])
            await unit.record([(actor, appended.events)])
            await unit.commit()
        after = await opened.log.position()
        assert (appended.after.seq, len(appended.events)) == (before.head, many)
        assert appended.events[-1].seq == after.head
        assert [await opened.store.get(each.id) for each in streams[-2:]] == streams[-2:]
        rows = await opened.store.read(lambda connection: connection.fetch_all(select(stream_events)))
        assert [(row["stream_id"], row["sender"], row["contract_id"]) for row in rows] == [
            (each.id, ODD, None) for each in streams
        ]
        deeds = await opened.store.read(lambda connection: connection.fetch_all(select(audit)))
        assert [(row["first"], row["last"], row["count"]) for row in deeds] == [
            (appended.events[0].id, appended.events[-1].id, many)
        ]


async def test_a_collision_that_waited_is_told_and_undoes_all(open_store):
    async with open_store() as opened:
        known, other = new_stream(NOW), new_stream(NOW)
        async with opened.store.begin() as unit:
            await unit.insert([known])
            await unit.commit()
        before = await opened.log.position()
        for _ in range(2):
            with pytest.raises(WriteCollision):
                async with opened.store.begin() as unit:
                    await unit.insert([known])
                    await unit.insert([other])
                    await unit.append([Draft(EventName.CREATED, other, (), NOW)])
                    await unit.commit()
        assert await opened.log.position() == before
        assert await opened.store.get(other.id) is None
        assert (await opened.append()).after.seq == before.head


async def test_what_waits_in_a_unit_that_is_left_goes_into_no_other(open_store):
    async with open_store() as opened:
        left = new_stream(NOW)
        for end in (ValueError, asyncio.CancelledError):
            with pytest.raises(end):
                async with opened.store.begin() as unit:
                    await unit.insert([left])
                    raise end
        async with opened.store.begin() as unit:
            await unit.insert([left])
        await opened.append()
        assert await opened.store.get(left.id) is None


async def test_the_states_of_several_contracts_are_stored_at_once(open_store):
    async with open_store() as opened:
        first = {"C1": {"reasons": ["gl_pause"]}, "C2": {"reasons": [ODD]}, "C3": {"reasons": []}}
        async with opened.store.begin() as unit:
            assert await unit.chain.lock_contracts(list(first)) == {}
            await unit.chain.store_contracts(first)
            await unit.commit()
        async with opened.store.begin() as unit:
            assert await unit.chain.lock_contracts(["C2", "C3"]) == {name: first[name] for name in ("C2", "C3")}
            await unit.chain.store_contracts({})
            await unit.chain.store_contracts({"C3": {"reasons": ["upgraded"]}, "C2": {"reasons": []}})
            await unit.commit()
        async with opened.store.begin() as unit:
            assert await unit.chain.lock_contracts(list(first)) == {
                "C1": first["C1"],
                "C2": {"reasons": []},
                "C3": {"reasons": ["upgraded"]},
            }
