"""Events that go straight to sockets: the same events, once, in order, and no more than the socket takes."""

import asyncio

import orjson
import pytest

from app.core import hub as hub_module
from app.core.events import EventFilter
from app.core.messages import Close, Idle
from app.core.subscription import Subscription
from tests.core.test_hub import process, publish
from tests.support.memory import row
from tests.support.virtual import VirtualLoop, iterations, settle, virtual

ALL = EventFilter()


class Outlet:
    """Takes `room` writes until it is drained."""

    name = "test"

    def __init__(self, room: int = 10**6) -> None:
        self.form = self
        self.room = room
        self.left = room
        self.got: list[str] = []
        self.writes = 0
        self.emptied = asyncio.Event()
        self.broken = False

    def join(self, events) -> bytes:
        return b"\n".join(event.data for event in events)

    def write(self, data: bytes) -> bool:
        assert self.left >= 0, "it said that it wants no more"
        self.got += [orjson.loads(line)["id"] for line in data.split(b"\n")]
        self.writes += 1
        self.left -= 1
        return self.left >= 0

    async def drained(self) -> None:
        await self.emptied.wait()
        if self.broken:
            raise ConnectionResetError
        self.left = self.room


def ids(*seqs: int, epoch: str = "one") -> list[str]:
    return [f"{epoch}-{seq}" for seq in seqs]


def attached(subscription: Subscription, **settings) -> tuple[Outlet, asyncio.Task]:
    outlet = Outlet(**settings)
    subscription.attach(outlet)
    return outlet, asyncio.create_task(subscription.next())


@virtual
async def test_live_events_do_not_wake_the_reader():
    here = await process()
    with here.feed.subscribe(ALL, None) as one, here.feed.subscribe(EventFilter(senders=frozenset("z")), None) as two:
        (first, reader), (second, other) = attached(one), attached(two)
        await settle()
        publish(here, row(1), row(2, sender="z"))
        publish(here, row(4))
        await settle()
        assert (first.got, first.writes) == (ids(1, 2, 4), 1)
        assert second.got == ids(2)
        assert str(one.position) == str(two.position) == "one-4"
        assert not reader.done()
        assert not other.done()


@virtual
async def test_a_replay_goes_there_too_then_lives():
    here = await process(ring_events=4)
    publish(here, *(row(seq) for seq in range(1, 12)))
    with here.feed.subscribe(ALL, "one-3") as subscription:
        outlet, _ = attached(subscription)
        await settle()
        publish(here, row(12))
        await asyncio.sleep(1)
        assert outlet.got == ids(*range(4, 13))


@virtual
async def test_a_full_socket_gets_no_more_until_it_has_drained():
    here = await process()
    with here.feed.subscribe(ALL, None) as subscription:
        outlet, _ = attached(subscription, room=1)
        await settle()
        for seq in range(1, 8):
            publish(here, row(seq))
            await settle()
            await asyncio.sleep(0.01)
        assert outlet.got == ids(1, 2)
        outlet.emptied.set()
        await settle()
        assert outlet.got == ids(*range(1, 8))


@pytest.mark.parametrize("act", ["subscribe", "close"])
@virtual
async def test_what_is_said_while_a_socket_is_full_comes_before_further_events(act):
    here = await process()
    with here.feed.subscribe(ALL, None) as subscription:
        outlet, reader = attached(subscription, room=0)
        await settle()
        publish(here, row(1))
        await settle()
        publish(here, row(2))
        if act == "subscribe":
            subscription.subscribe(ALL, "one-0")
        else:
            subscription.close(Close(1000, "bye"))
        outlet.emptied.set()
        await settle()
        assert reader.done()
        assert outlet.got == ids(1)


@virtual
async def test_a_socket_that_breaks_ends_its_reader():
    here = await process()
    with here.feed.subscribe(ALL, None) as subscription:
        outlet, reader = attached(subscription, room=0)
        await settle()
        publish(here, row(1))
        outlet.broken = True
        outlet.emptied.set()
        with pytest.raises(ConnectionError):
            await reader


@virtual
async def test_a_batch_is_no_larger_than_the_mark(monkeypatch):
    monkeypatch.setattr(hub_module, "BATCH_BYTES", 1000)
    here = await process(ring_events=100)
    with here.feed.subscribe(ALL, None) as subscription:
        outlet, _ = attached(subscription)
        await settle()
        publish(here, *(row(seq, size=300) for seq in range(1, 11)), row(11, size=5000), row(12))
        await asyncio.sleep(1)
        assert outlet.got == ids(*range(1, 13))
        assert outlet.writes == 7


@virtual
async def test_pages_of_the_same_beginning_are_not_mixed_up():
    here = await process()
    publish(here, row(1))
    outlets = []
    for _ in range(2):
        with here.feed.subscribe(ALL, "one-0") as subscription:
            outlet, reader = attached(subscription)
            await settle()
            outlets.append(outlet)
            publish(here, row(here.hub.head + 1))
            reader.cancel()
    assert [outlet.got for outlet in outlets] == [ids(1), ids(1, 2)]


@virtual
async def test_pages_of_another_history_are_forgotten():
    here = await process()
    publish(here, row(1))
    publish(here, row(2))
    with here.feed.subscribe(ALL, "one-1") as subscription:
        before, reader = attached(subscription)
        await settle()
        reader.cancel()
    here.log.fail_over("two", losing=1)
    here.hub.rebase(await here.log.position())
    publish(here, row(2))
    with here.feed.subscribe(ALL, "two-1") as subscription:
        after, reader = attached(subscription)
        await settle()
        reader.cancel()
    assert (before.got, after.got) == (ids(2), ids(2, epoch="two"))


def in_slices(monkeypatch, test) -> None:
    """Run a test where the hub writes to one socket in each loop iteration."""
    monkeypatch.setattr(hub_module, "_SLICE_CHECK", 1)
    monkeypatch.setattr(hub_module, "_SLICE_SECONDS", 1.5e-7)
    with asyncio.Runner(loop_factory=lambda: VirtualLoop(glance=1e-7)) as runner:
        runner.run(test())


@pytest.mark.parametrize("act", ["subscribe", "unsubscribe", "say", "close", "rewind"])
def test_in_the_middle_of_a_round_what_is_said_comes_before_further_events(monkeypatch, act):
    async def test() -> None:
        here = await process()
        contexts = [here.feed.subscribe(ALL, None) for _ in range(6)]
        subscriptions = [each.__enter__() for each in contexts]
        ends = [attached(each) for each in subscriptions]
        await settle()
        publish(here, row(1))
        while not any(outlet.got for outlet, _ in ends):
            await asyncio.sleep(0)
        waiting = [at for at, (outlet, _) in enumerate(ends) if not outlet.got]
        assert len(waiting) >= 4
        for at in waiting:
            subscription = subscriptions[at]
            if act == "subscribe":
                subscription.subscribe(EventFilter(senders=frozenset("z")), None)
            elif act == "rewind":
                subscription.subscribe(ALL, "one-0")
            elif act == "unsubscribe":
                subscription.unsubscribe()
            elif act == "say":
                here.outages.begin("rpc", f"slow {at}")
            else:
                subscription.close(Close(1000, "bye"))
        await iterations(30)
        for at in waiting:
            outlet, reader = ends[at]
            assert reader.done()
            assert outlet.got == []
            if act != "close":
                following = asyncio.create_task(subscriptions[at].next(1))
                while not isinstance(await following, Idle):
                    following = asyncio.create_task(subscriptions[at].next(1))
                assert outlet.got == (ids(1) if act in {"say", "rewind"} else [])
        for each in contexts:
            each.__exit__(None, None, None)

    in_slices(monkeypatch, test)


def test_who_joins_in_the_middle_of_a_round_gets_nothing_twice(monkeypatch):
    async def test() -> None:
        here = await process()
        contexts = [here.feed.subscribe(ALL, None) for _ in range(12)]
        subscriptions = [each.__enter__() for each in contexts]
        ends = [attached(each) for each in subscriptions[:6]]
        await settle()
        publish(here, row(1))
        await iterations(3)
        ends += [attached(each) for each in subscriptions[6:]]
        await iterations(2)
        publish(here, row(2))
        await asyncio.sleep(1)
        assert all(outlet.got == ids(1, 2) for outlet, _ in ends)
        for each in contexts:
            each.__exit__(None, None, None)

    in_slices(monkeypatch, test)
