"""What goes and what stays, by id order and by count; and that finding it holds no writer up."""

from datetime import timedelta

import pytest
from sqlalchemy import delete, func, insert, select, update

from app.core.clock import timestamp, utc_now
from app.store.event_log import prune
from app.store.retention import Retention
from app.store.tables import idempotency_keys, log_state, stream_events

NOW = utc_now()
OLD, YOUNG, FUTURE = (timestamp(NOW + timedelta(days=days)) for days in (-30, -1, 3650))
WEEK = timedelta(days=7)


def retention(opened, count: int = 1, age: timedelta = WEEK) -> Retention:
    return Retention(opened.store, age=age, count=count, interval=60, clock=lambda: NOW)


async def fill(opened, *dates: str) -> list[int]:
    """One event of each date."""
    seqs = [event.seq for event in (await opened.append(len(dates))).events]
    async with opened.store.transaction() as transaction:
        for date in set(dates):
            dated = [seq for seq, each in zip(seqs, dates, strict=True) if each == date]
            for start in range(0, len(dated), 500):
                some = stream_events.c.id.in_(dated[start : start + 500])
                await transaction.execute(update(stream_events).where(some).values(created_at=date))
        await transaction.commit()
    return seqs


async def left(opened) -> list[int]:
    query = select(stream_events.c.id).order_by(stream_events.c.id)
    return [row["id"] for row in await opened.store.read(lambda connection: connection.fetch_all(query))]


@pytest.mark.parametrize("where", [0, 3, 7])
async def test_one_event_dated_in_the_future_does_not_stop_pruning(open_store, where):
    async with open_store() as opened:
        dates = [OLD] * 20
        dates[where] = FUTURE
        seqs = await fill(opened, *dates)
        assert await retention(opened, count=5).prune() == 15
        assert await left(opened) == seqs[15:]
        assert (await opened.log.position()).floor == seqs[14]


async def test_nor_do_many(open_store):
    """A clock was wrong for a while: more of them than are looked at in one go."""
    async with open_store() as opened:
        seqs = await fill(opened, *[FUTURE] * 2500, *[OLD] * 5, YOUNG)
        assert await retention(opened).prune() == 2505
        assert await left(opened) == seqs[-1:]


async def test_a_future_date_permits_nothing_either(open_store):
    """Between the old and the young it stays, and it lets nothing young go."""
    async with open_store() as opened:
        seqs = await fill(opened, OLD, OLD, FUTURE, YOUNG, FUTURE, OLD, YOUNG, YOUNG)
        assert await retention(opened).prune() == 2
        assert await left(opened) == seqs[2:]
    async with open_store() as opened:
        seqs = await fill(opened, *[FUTURE] * 4)
        assert await retention(opened).prune() == 0
        assert await left(opened) == seqs


async def test_the_count_counts_events_not_ids(open_store):
    async with open_store() as opened:
        seqs = await fill(opened, *[OLD] * 30)
        holes = seqs[10:25]
        async with opened.store.transaction() as transaction:
            await transaction.execute(delete(stream_events).where(stream_events.c.id.in_(holes)))
            await transaction.commit()
        assert await retention(opened, count=12).prune() == 3
        assert await left(opened) == [*seqs[3:10], *seqs[25:]]


async def test_another_log_in_the_same_place_is_not_pruned_by_what_the_first_one_held(open_store):
    async with open_store() as opened:
        seqs = await fill(opened, *[OLD] * 10)
        async with opened.store.transaction() as transaction:
            assert not await prune(transaction, upto=seqs[5], token="another")
            await transaction.commit()
        assert await left(opened) == seqs


async def test_the_floor_never_falls(open_store):
    """Another process was faster."""
    async with open_store() as opened:
        seqs = await fill(opened, *[OLD] * 10)
        token = await opened.store.read(lambda connection: connection.fetch_val(select(log_state.c.token)))
        for upto in (seqs[6], seqs[2]):
            async with opened.store.transaction() as transaction:
                assert await prune(transaction, upto=upto, token=token)
                await transaction.commit()
        assert (await opened.log.position()).floor == seqs[6]


async def test_nothing_is_looked_for_while_writers_wait(open_store, monkeypatch):
    """Inside a transaction only the floor moves, rows are deleted, and never many."""
    async with open_store() as opened:
        await fill(opened, *[OLD] * 600)
        before = await left(opened)
        sizes = []
        transaction = opened.store.transaction

        def counted():
            sizes.append(0)
            return transaction()

        monkeypatch.setattr(opened.store, "transaction", counted)
        assert await retention(opened, count=100).prune() == 500
        assert await left(opened) == before[500:]
        assert len(sizes) >= 5


async def test_idempotency_keys_go_in_steps_too(open_store):
    async with open_store() as opened:
        rows = [{"key": f"k{n}", "fingerprint": "", "body": "", "created_at": OLD} for n in range(300)]
        rows += [{"key": "young", "fingerprint": "", "body": "", "created_at": timestamp(NOW)}]
        async with opened.store.transaction() as transaction:
            for row in rows:
                await transaction.execute(insert(idempotency_keys).values(**row))
            await transaction.commit()
        await retention(opened).prune()
        count = select(func.count()).select_from(idempotency_keys)
        assert await opened.store.read(lambda connection: connection.fetch_val(count)) == 1
