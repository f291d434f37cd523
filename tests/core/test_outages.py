"""What is out of order is announced once, and told to those who come later."""

import orjson

from app.core.filter import EventFilter
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
