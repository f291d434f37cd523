"""What filters find in the log, whatever blocks of ids it lies in, and how much of it they look at."""

import random
import re

import pytest

from app.core.event import Event
from app.core.filter import UNFILTERED, EventFilter
from tests.store.conftest import some

BLOCK = 1 << 14
NAMES = ("stream.created", "stream.updated", "stream.cancelled")
PLACES = sorted({
    *range(1, 40),
    *range(BLOCK - 20, BLOCK + 20),
    *range(2 * BLOCK - 5, 2 * BLOCK + 5),
    *range(11 * BLOCK - 5, 11 * BLOCK + 5),
    *range(3000 * BLOCK - 3, 3000 * BLOCK + 30),
})  # fmt: skip
"""Ids at the edges of blocks, and far apart: a database may leave out any number of them."""


def rows(chance: random.Random, ids) -> list[dict]:
    return [
        {
            "id": seq,
            "event": chance.choice(NAMES),
            "stream_id": f"stream-{chance.randrange(6)}",
            "version": seq,
            "sender": chance.choice("ABCD"),
            "recipient": chance.choice("CDEF"),
            "body": "{}",
            "created_at": "2026-01-01T00:00:00.000Z",
            "contract_id": chance.choice([None, "K", "L"]),
            "cause": chance.choice([None, "created", "withdrawn"]),
            "former_recipient": chance.choice([None, None, "E", "G"]),
            "known_recipient": chance.choice([None, None, None, "H"]),
        }
        for seq in ids
    ]


def event(epoch: str, row: dict) -> Event:
    parties = tuple(filter(None, (row["former_recipient"], row["known_recipient"])))
    of = [row[name] for name in ("id", "event", "stream_id", "sender", "recipient")]
    return Event.committed(epoch, *of, row["body"].encode(), row["contract_id"], row["cause"], parties)


async def test_the_log_finds_what_the_filter_matches(open_store):
    chance = random.Random(4)
    given = rows(chance, PLACES)
    async with open_store() as opened:
        await opened.fill("stream_events", given)
        position = await opened.log.position()
        events = [event(position.epoch, row) for row in given]
        assert position.head == PLACES[-1]
        for _ in range(300):
            wanted = EventFilter(
                stream_ids=some(chance, [f"stream-{number}" for number in range(7)]),
                senders=some(chance, "ABCDZ"),
                recipients=some(chance, "CDEFGHZ"),
                events=some(chance, NAMES),
                participants=some(chance, "ABCDEFGHZ"),
                contracts=some(chance, "KLM"),
                causes=some(chance, ["created", "withdrawn"]),
            )
            after, limit = chance.choice([0, *PLACES]), chance.choice([1, 3, 500])
            upto = chance.choice([each for each in PLACES if each >= after])
            found = await opened.log.read(position.at(after), upto, wanted, limit)
            expected = [each for each in events if after < each.seq <= upto and wanted.matches(each)][:limit]
            assert [each.seq for each in found] == [each.seq for each in expected], (wanted, after, upto, limit)


BY_PARTY = {
    "sender": (EventFilter(senders=frozenset("A")), {"block_sender_id"}),
    "recipient": (EventFilter(recipients=frozenset("C")), {"block_recipient_id"}),
    "participant": (EventFilter(participants=frozenset("C")), {"block_sender_id", "block_recipient_id"}),
    "stream": (EventFilter(stream_ids=frozenset({"stream-77"})), {"block_stream_id_version"}),
}


@pytest.mark.parametrize("asked", BY_PARTY)
async def test_what_is_asked_for_is_looked_up_and_the_log_is_not_scanned(open_store, asked):
    wanted, indexes = BY_PARTY[asked]
    async with open_store() as opened:
        own = [
            {"sender": f"S{seq}", "recipient": f"R{seq}", "stream_id": f"stream-{seq}"} for seq in range(1, 3 * BLOCK)
        ]
        nobody = {"former_recipient": None, "known_recipient": None}
        given = rows(random.Random(4), range(1, 3 * BLOCK))
        await opened.fill(
            "stream_events", [{**row, **parties, **nobody} for row, parties in zip(given, own, strict=True)]
        )
        page = opened.log._page(0, 3 * BLOCK, wanted, 500)
        plan = await opened.plan("stream_events", page)
        assert set(re.findall("(?:ix|uq)_stream_events_(block_[a-z_]*)", plan)) == indexes
        for scan in ("stream_events_pkey", "Seq Scan", "SCAN stream_events", "USING INTEGER PRIMARY KEY"):
            assert scan not in plan


async def test_who_wants_nearly_all_has_his_page_after_one_span(open_store):
    """And who wants all is not asked by spans: the log of the relay and of every client without a filter."""
    async with open_store() as opened:
        await opened.fill("stream_events", rows(random.Random(4), range(1, 4 * BLOCK, 16)))
        position = await opened.log.position()
        asked = []
        page = opened.log._page
        opened.log._page = lambda *given: asked.append(given[:2]) or page(*given)
        await opened.log.read(position.at(0), position.head, EventFilter(senders=frozenset("ABCD")), 500)
        assert asked == [(0, 2 * BLOCK - 1)]
        asked.clear()
        await opened.log.read(position.at(0), position.head, EventFilter(senders=frozenset("Z")), 500)
        assert asked == [(0, 2 * BLOCK - 1), (2 * BLOCK - 1, position.head)]
        asked.clear()
        await opened.log.read(position.at(0), position.head, UNFILTERED, 500)
        assert asked == [(0, position.head)]
