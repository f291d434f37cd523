"""Which streams are asked for after a gap, and what becomes of the answers."""

from dataclasses import dataclass, field

import pytest
from structlog.testing import capture_logs

from app.chain import reread as module
from app.chain.reread import reread
from app.chain.rpc import MOST_KEYS
from app.chain.xdr import Undecodable

UPTO = 50


@dataclass
class Streams:
    """The service: the streams it knows, and the records it was given."""

    known: dict[int, bool]
    given: list[int] | None = None

    async def known_chain_streams(self, contract_id: str) -> dict[int, bool]:
        return self.known

    async def reconcile(self, contract_id: str, records, upto: int) -> int:
        assert upto == UPTO
        self.given = [each.number for each in records]
        return 0


@dataclass(frozen=True)
class Record:
    number: int
    modified: int = UPTO


@dataclass
class Rpc:
    """A node: the streams that have a record, by number."""

    records: dict[int, Record | None]
    asked: list[list[int]] = field(default_factory=list)

    async def ledger_entries(self, keys: list[int]):
        self.asked.append(keys)
        return [self.records[key] for key in keys if key in self.records], UPTO + 9


@pytest.fixture(autouse=True)
def plain(monkeypatch):
    """Keys are numbers, and entries are records; None is one that cannot be understood."""

    def record_of(entry: Record | None) -> Record:
        if entry is None:
            raise Undecodable("of another revision")
        return entry

    monkeypatch.setattr(module, "key_of", lambda _contract, number: number)
    monkeypatch.setattr(module, "record_of", record_of)


async def test_holes_and_what_lies_beyond_are_asked_for_and_what_is_closed_is_not():
    streams = Streams({3: True, 5: False, 6: True})
    rpc = Rpc({number: Record(number) for number in (1, 3, 4, 5, 6, 9, 6 + MOST_KEYS + 1)})
    assert await reread(streams, rpc, "C", UPTO)
    # 1 came before the first that was read; 5 is closed.
    assert streams.given == [3, 4, 6, 9, 6 + MOST_KEYS + 1]
    assert [asked[0] for asked in rpc.asked] == [3, 7, 7 + MOST_KEYS, 7 + 2 * MOST_KEYS]


async def test_where_nothing_is_known_it_begins_at_the_beginning():
    streams, rpc = Streams({}), Rpc({0: Record(0)})
    assert await reread(streams, rpc, "C", UPTO)
    assert streams.given == [0]


async def test_a_record_that_is_newer_than_what_was_read_puts_all_off():
    streams = Streams({0: True})
    assert not await reread(streams, Rpc({0: Record(0), 1: Record(1, UPTO + 1)}), "C", UPTO)
    assert streams.given is None


async def test_streams_without_a_record_are_named():
    with capture_logs() as lines:
        assert await reread(Streams({0: True, 1: True, 2: False}), Rpc({0: Record(0)}), "C", UPTO)
    assert [line["streams"] for line in lines if line["event"] == "chain_records_gone"] == [[1]]


async def test_records_that_are_not_understood_neither_end_the_search_nor_are_they_gone():
    beyond = 2 + MOST_KEYS
    streams = Streams({0: True, 1: True})
    with capture_logs() as lines:
        assert await reread(streams, Rpc({0: Record(0), 1: None, 2: None, beyond: Record(beyond)}), "C", UPTO)
    assert streams.given == [0, beyond]
    assert [line["event"] for line in lines].count("chain_record_unknown") == 2
    assert "chain_records_gone" not in [line["event"] for line in lines]
