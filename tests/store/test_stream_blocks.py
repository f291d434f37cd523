"""Streams are found by their parties whatever block they lie in, and what began one is known by it."""

import random
from dataclasses import replace

import pytest
from sqlalchemy import select

from app.core.access.grant import Limit
from app.core.clock import timestamp, utc_now
from app.core.errors import WriteCollision
from app.core.event import Draft, EventName
from app.core.ports import StreamQuery
from app.core.stream import Status
from app.store.stream_blocks import SIZE, StreamBlocks
from app.store.stream_pages import page_of
from app.store.tables import chain_events, streams
from tests.store.conftest import Opened, new_stream, some

NOW = timestamp(utc_now())
BLOCKS = (0, 0, 0, 1, 2, 9, 4000)


async def test_one_block_is_filled_after_the_other(open_store):
    async with open_store() as opened:
        taken = []
        for batch in range(3):
            taken.append(await block_for(opened, 2 * SIZE // 3))
            await opened.fill(
                "streams", [row(batch * SIZE + number, block=taken[-1]) for number in range(2 * SIZE // 3)]
            )
        assert taken == [1, 1, 2]


async def test_a_restart_fills_up_and_old_streams_get_no_company(open_store):
    async with open_store() as opened:
        await opened.fill("streams", [row(number) for number in range(3)])
        assert await block_for(opened, 1) == 1
        await opened.fill("streams", [row(number, block=1) for number in range(3, 103)])
        blocks = StreamBlocks()
        async with opened.store.transaction() as transaction:
            assert await blocks.take(transaction, SIZE - 101) == 1
            assert (blocks._room, await blocks.take(transaction, 1)) == (1, 1)
        assert blocks._room == 0


async def test_who_is_behind_goes_where_the_others_are(open_store):
    async with open_store() as opened:
        assert await block_for(opened, SIZE) == 1
        await opened.fill("streams", [row(number, block=9) for number in range(SIZE - 1)])
        assert await block_for(opened, 1) == 9
        await opened.fill("streams", [row(SIZE, block=9)])
        assert await block_for(opened, 1) == 10


async def block_for(opened: Opened, count: int) -> int:
    async with opened.store.transaction() as transaction:
        return await opened.store._blocks.take(transaction, count)


def row(number: int, **given: object) -> dict:
    stream = new_stream(f"2026-01-01T00:00:{number % 60:02}.000Z", f"stream-{number:05}")
    values = {name: value for name, value in vars(stream).items() if name in streams.c}
    return {**values, "status": "active", "block": 0, **given}


def fits(given: dict, query: StreamQuery) -> bool:
    parties = {given["sender"], given["recipient"]}
    reach = query.reach
    return (
        (not query.statuses or given["status"] in query.statuses)
        and (not query.senders or given["sender"] in query.senders)
        and (not query.recipients or given["recipient"] in query.recipients)
        and (not query.participants or bool(parties & query.participants))
        and (not query.contracts or given["contract_id"] in query.contracts)
        and (
            reach is None
            or bool(parties & reach.own)
            or given["id"] in reach.stream_ids
            or given["contract_id"] in reach.contracts
        )
        and (query.before is None or (given["created_at"], given["id"]) < query.before)
    )


async def test_a_page_has_what_the_query_asks_for(open_store):
    chance = random.Random(5)
    given = [
        row(
            number,
            sender=chance.choice("ABCD"),
            recipient=chance.choice("CDEF"),
            contract_id=chance.choice([None, "K", "L"]),
            status=chance.choice(["active", "paused", "cancelled"]),
            block=chance.choice(BLOCKS),
        )
        for number in range(400)
    ]
    newest_first = sorted(given, key=lambda each: (each["created_at"], each["id"]), reverse=True)
    async with open_store() as opened:
        await opened.fill("streams", given)
        for _ in range(200):
            reach = Limit(some(chance, "ABCDEF"), some(chance, [each["id"] for each in given]), some(chance, "KLM"))
            last = chance.choice(given)
            query = StreamQuery(
                limit=chance.choice([1, 7, 500]),
                before=chance.choice([None, (last["created_at"], last["id"])]),
                statuses=frozenset(map(Status, some(chance, ["active", "paused", "completed"]))),
                senders=some(chance, "ABCDZ"),
                recipients=some(chance, "CDEFZ"),
                participants=some(chance, "ABCDEFZ"),
                contracts=some(chance, "KLM"),
                reach=chance.choice([None, None, reach]),
            )
            page = await opened.store.page(query)
            expected = [each["id"] for each in newest_first if fits(each, query)]
            assert [each.id for each in page.streams] == expected[: query.limit], query
            assert (page.next is not None) == (len(expected) > query.limit)


async def test_a_party_is_looked_up_and_the_streams_are_not_scanned(open_store):
    async with open_store() as opened:
        await opened.fill("streams", [row(n, sender=f"S{n}", recipient=f"R{n}", block=n >> 9) for n in range(20_000)])
        for query in (
            StreamQuery(limit=50, senders=frozenset({"S7"})),
            StreamQuery(limit=50, participants=frozenset({"S7", "R9"})),
            StreamQuery(limit=50, reach=Limit(own=frozenset({"S7"}))),
        ):
            plan = await opened.plan("streams", page_of(query, opened.dialect, 39))
            assert "ix_streams_block_sender" in plan
            for scan in ("Seq Scan", "SCAN streams", "ix_streams_created_at_id"):
                assert scan not in plan


KEY, OTHER = ("a" * 64, 0), ("b" * 64, 3)


async def taken(opened: Opened) -> list[tuple[str, int]]:
    rows = await opened.store.read(lambda connection: connection.fetch_all(select(chain_events)))
    return [(each["transaction_hash"], each["event_index"]) for each in rows]


@pytest.mark.parametrize("many", [1, 300])
async def test_what_began_a_stream_is_known_and_written_down_once(open_store, many):
    async with open_store() as opened:
        keys = [(f"{number:064x}", number % 3) for number in range(many)]
        begun = [new_stream(NOW, f"stream-{transaction}-{index}") for transaction, index in keys]
        async with opened.store.begin() as unit:
            await unit.insert(begun)
            await unit.mark_seen([*keys, OTHER])
            assert await unit.seen([*keys, OTHER, KEY]) == {*keys, OTHER}
            await unit.append([Draft(EventName.CREATED, each, (), NOW) for each in begun])
            await unit.commit()
        assert await taken(opened) == [OTHER]
        async with opened.store.begin() as unit:
            assert await unit.seen([*keys, OTHER, KEY]) == {*keys, OTHER}
            assert await unit.seen([(keys[0][0], 3), (keys[0][0].upper() + "x", 0)]) == set()


async def test_what_is_taken_of_a_stream_that_was_there_before_is_written_down(open_store):
    async with open_store() as opened:
        known = new_stream(NOW, f"stream-{KEY[0]}-{KEY[1]}")
        async with opened.store.begin() as unit:
            await unit.insert([known])
            await unit.commit()
        async with opened.store.begin() as unit:
            await unit.update([replace(known, version=2)])
            await unit.mark_seen([OTHER])
            await unit.commit()
        assert await taken(opened) == [OTHER]


async def test_a_version_that_stands_in_the_log_is_refused(open_store):
    async with open_store() as opened:
        stream = new_stream(NOW)
        draft = Draft(EventName.CREATED, stream, (), NOW)
        async with opened.store.begin() as unit:
            await unit.insert([stream])
            await unit.append([draft])
            await unit.commit()
        before = await opened.log.position()
        with pytest.raises(WriteCollision):
            async with opened.store.begin() as unit:
                await unit.append([draft])
                await unit.commit()
        assert await opened.log.position() == before
