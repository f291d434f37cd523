"""What is out of order is announced once, and told to those who come later."""

from collections.abc import Sequence

import orjson

from app.core.chain_port import StoredOutage, StoredPosition
from app.core.filter import EventFilter
from app.core.shared_outages import SharedOutages
from tests.core.test_hub import process, reading
from tests.support.virtual import virtual

NOBODY = EventFilter(senders=frozenset("z"))


def told(message) -> tuple[str, str, str]:
    data = orjson.loads(message.data)
    return data["event"], data["source"], data["reason"]


@virtual
async def test_each_change_is_announced_once():
    here = await process()
    with reading(here, NOBODY, None) as subscription:
        assert here.outages.begin("rpc", "slow")
        assert not here.outages.begin("rpc", "slow")
        [first] = here.outages
        assert here.outages.begin("rpc", "dead")
        [second] = here.outages
        assert (second.reason, second.since) == ("dead", first.since)
        assert here.outages.end("rpc", "fine")
        assert not here.outages.end("rpc", "fine")
        assert list(here.outages) == []
        assert [told(await subscription.next()) for _ in range(3)] == [
            ("service.degraded", "rpc", "slow"),
            ("service.degraded", "rpc", "dead"),
            ("service.recovered", "rpc", "fine"),
        ]


@virtual
async def test_sources_are_apart():
    here = await process()
    here.outages.begin("rpc", "slow")
    here.outages.begin("database", "gone")
    here.outages.end("rpc", "fine")
    assert "rpc" not in here.outages
    assert "database" in here.outages


@virtual
async def test_who_comes_late_is_told():
    here = await process()
    here.outages.begin("rpc", "slow")
    with reading(here, NOBODY, None) as subscription:
        assert told(await subscription.next()) == ("service.degraded", "rpc", "slow")


@virtual
async def test_what_the_database_keeps_is_over_when_it_is_not_there_any_more():
    """Also when it began and ended between two looks: it was told by who stored it."""
    here = await process()
    store = Keeping()
    shared = SharedOutages(here.outages, store, None, contract_set="", known=lambda *_: None)
    here.outages.tell("contract:C", "upgraded")
    here.outages.begin("rpc", "slow")
    await shared.look()
    assert [each.source for each in here.outages] == ["rpc"]
    store.outages = [StoredOutage("contract:C", "ct_pause", "2026-01-01T00:00:00.000Z")]
    await shared.look()
    assert [each.source for each in here.outages] == ["rpc", "contract:C"]


class Keeping:
    """What a look asks of a store."""

    outages: Sequence[StoredOutage] = ()

    async def chain_outages(self) -> Sequence[StoredOutage]:
        return self.outages

    async def parked_count(self) -> int:
        return 0

    async def chain_position(self, _: str) -> StoredPosition:
        return StoredPosition()
