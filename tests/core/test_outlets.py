"""Events that go straight to sockets: the same events, once, in order, and no more than the socket takes."""

import asyncio

import orjson
import pytest

from app.core import hub as hub_module
from app.core import slices
from app.core.filter import EventFilter
from app.core.history import History
from app.core.messages import Close
from app.core.subscription import Subscription
from tests.core.test_hub import process, publish
from tests.support.memory import row
from tests.support.virtual import VirtualLoop, iterations, settle, virtual

ALL = EventFilter()


class Outlet:
    """Takes `room` writes until it is drained, and looks after its subscription as a transport does."""

    name = "test"

    def __init__(self, subscription: Subscription, room: int = 10**6) -> None:
        self.form = self
        self.subscription = subscription
        self.room = room
        self.left = room
        self.got: list[str] = []
        self.said: list[object] = []
        self.said_after: list[int] = []
        self.writes = 0
        self.task: asyncio.Task | None = None
        subscription.attach(self)

    @property
    def full(self) -> bool:
        return self.left < 0

    def join(self, events) -> bytes:
        return b"\n".join(event.data for event in events)

    def write(self, data: bytes) -> bool:
        assert not self.full, "it said that it wants no more"
        self.got += [orjson.loads(line)["id"] for line in data.split(b"\n")]
        self.writes += 1
        self.left -= 1
        return not self.full

    def say(self, message) -> None:
        self.said.append(message)
        self.said_after.append(len(self.got))

    def fail(self) -> None:
        self.failed = True

    def wake(self) -> None:
        if self.task is None:
            self.task = asyncio.create_task(self._catch_up())

    def drain(self) -> None:
        self.left = self.room = 10**6
        self.subscription.wake()

    async def _catch_up(self) -> None:
        while (said := await self.subscription.catch_up()) is not None:
            self.said.append(said)
            self.said_after.append(len(self.got))
            if isinstance(said, Close):
                return
        self.task = None


def ids(*seqs: int, epoch: str = "one") -> list[str]:
    return [f"{epoch}-{seq}" for seq in seqs]


@virtual
async def test_who_is_live_costs_no_task():
    here = await process()
    with here.feed.subscribe(ALL, None) as one, here.feed.subscribe(EventFilter(senders=frozenset("z")), None) as two:
        first, second = Outlet(one), Outlet(two)
        await settle()
        publish(here, row(1), row(2, sender="z"))
        publish(here, row(4))
        await settle()
        assert (first.got, first.writes) == (ids(1, 2, 4), 1)
        assert second.got == ids(2)
        assert str(one.position) == str(two.position) == "one-4"
        assert first.task is second.task is None


@virtual
async def test_a_replay_goes_there_too_then_lives():
    here = await process(ring_events=4)
    publish(here, *(row(seq) for seq in range(1, 12)))
    with here.feed.subscribe(ALL, "one-3") as subscription:
        outlet = Outlet(subscription)
        await settle()
        publish(here, row(12))
        await asyncio.sleep(1)
        assert outlet.got == ids(*range(4, 13))


@virtual
async def test_a_full_socket_gets_no_more_until_it_has_drained():
    here = await process()
    with here.feed.subscribe(ALL, None) as subscription:
        outlet = Outlet(subscription, room=1)
        await settle()
        for seq in range(1, 8):
            publish(here, row(seq))
            await settle()
            await asyncio.sleep(0.01)
        assert outlet.got == ids(1, 2)
        assert outlet.task is None
        outlet.drain()
        await settle()
        assert outlet.got == ids(*range(1, 8))


@virtual
async def test_an_answer_waits_for_a_full_socket_and_comes_before_further_events():
    here = await process()
    with here.feed.subscribe(ALL, None) as subscription:
        outlet = Outlet(subscription, room=0)
        publish(here, row(1))
        await settle()
        publish(here, row(2))
        subscription.subscribe(ALL, "one-0")
        await settle()
        assert (outlet.got, outlet.said) == (ids(1), [])
        outlet.drain()
        await settle()
        assert [said.event for said in outlet.said] == ["subscribed"]
        assert outlet.got == ids(1, 1, 2)


@virtual
async def test_a_close_does_not_wait_for_a_full_socket():
    here = await process()
    with here.feed.subscribe(ALL, None) as subscription:
        outlet = Outlet(subscription, room=0)
        publish(here, row(1))
        await settle()
        publish(here, row(2))
        subscription.close(Close(1000, "bye"))
        await settle()
        assert (outlet.got, outlet.said) == (ids(1), [Close(1000, "bye")])


@virtual
async def test_a_farewell_comes_after_all_that_is_committed():
    here = await process()
    with here.feed.subscribe(ALL, None) as subscription:
        outlet = Outlet(subscription, room=0)
        publish(here, row(1))
        await settle()
        publish(here, row(2))
        subscription.close(Close(1012, "bye"), catch_up=True)
        await settle()
        assert outlet.said == []
        outlet.drain()
        await settle()
        assert (outlet.got, outlet.said) == (ids(1, 2), [Close(1012, "bye")])


@virtual
async def test_who_left_gets_nothing():
    here = await process()
    with here.feed.subscribe(ALL, None) as subscription:
        outlet = Outlet(subscription)
    publish(here, row(1))
    await settle()
    assert outlet.got == []
    assert not here.hub.audience


@virtual
async def test_idle_moves_who_did_not_want_what_came():
    here = await process()
    with here.feed.subscribe(EventFilter(senders=frozenset("z")), None) as subscription:
        Outlet(subscription)
        publish(here, row(1))
        await settle()
        assert str(subscription.moved().cursor) == "one-1"
        assert subscription.moved() is None


@virtual
async def test_a_batch_is_no_larger_than_the_mark(monkeypatch):
    monkeypatch.setattr(hub_module, "BATCH_BYTES", 1000)
    here = await process(ring_events=100)
    with here.feed.subscribe(ALL, None) as subscription:
        outlet = Outlet(subscription)
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
            outlet = Outlet(subscription)
            await settle()
            outlets.append(outlet)
            publish(here, row(here.hub.head + 1))
    assert [outlet.got for outlet in outlets] == [ids(1), ids(1, 2)]


@virtual
async def test_who_has_one_filter_shares_its_pages():
    here = await process()
    publish(here, *(row(seq) for seq in range(1, 9)))
    history = History(here.hub, here.log, look=lambda: None, concurrency=1)
    one, other = (EventFilter(events=frozenset({name})) for name in ("stream.created", "stream.updated"))
    everything = history.recent(0, ALL)
    page = history.recent(0, one)
    assert page.events
    assert history.recent(0, EventFilter(events=frozenset({"stream.created"}))) is page
    assert history.recent(2, one) is not page
    assert not history.recent(0, other).events
    for number in range(100):
        history.recent(0, EventFilter(events=one.events, senders=frozenset({"a", str(number)})))
    assert history.recent(0, ALL) is everything


@virtual
async def test_filters_with_the_same_ends_do_not_share_what_lies_between():
    here = await process()
    publish(here, row(1, sender="a"), row(2, sender="b"), row(3, sender="a"))
    history = History(here.hub, here.log, look=lambda: None, concurrency=1)
    for senders, seqs in (("a", [1, 3]), ("ab", [1, 2, 3]), ("", [1, 2, 3]), ("a", [1, 3])):
        page = history.recent(0, EventFilter(senders=frozenset(senders)))
        assert [event.seq for event in page.events] == seqs


@virtual
async def test_pages_of_another_history_are_forgotten():
    here = await process()
    publish(here, row(1))
    publish(here, row(2))
    with here.feed.subscribe(ALL, "one-1") as subscription:
        before = Outlet(subscription)
        await settle()
    here.log.fail_over("two", losing=1)
    here.hub.rebase(await here.log.position())
    publish(here, row(2))
    with here.feed.subscribe(ALL, "two-1") as subscription:
        after = Outlet(subscription)
        await settle()
    assert (before.got, after.got) == (ids(2), ids(2, epoch="two"))


def in_slices(monkeypatch, test) -> None:
    """Run a test where the hub writes to one socket in each loop iteration."""
    monkeypatch.setattr(hub_module, "_SLICE_CHECK", 1)
    for each in ("_SHORTEST", "_LONGEST"):
        monkeypatch.setattr(slices, each, 1.5e-7)
    with asyncio.Runner(loop_factory=lambda: VirtualLoop(glance=1e-7)) as runner:
        runner.run(test())


@pytest.mark.parametrize("act", ["subscribe", "unsubscribe", "say", "close", "rewind"])
def test_in_the_middle_of_a_round_what_is_said_comes_before_further_events(monkeypatch, act):
    async def test() -> None:
        here = await process()
        contexts = [here.feed.subscribe(ALL, None) for _ in range(6)]
        subscriptions = [each.__enter__() for each in contexts]
        outlets = [Outlet(each) for each in subscriptions]
        await settle()
        publish(here, row(1))
        while not any(outlet.got for outlet in outlets):
            await asyncio.sleep(0)
        waiting = [at for at, outlet in enumerate(outlets) if not outlet.got]
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
        await settle()
        for at in waiting:
            outlet = outlets[at]
            assert outlet.said
            assert outlet.said_after[0] == 0
            assert outlet.got == (ids(1) if act in {"say", "rewind"} else [])
        for each in contexts:
            each.__exit__(None, None, None)

    in_slices(monkeypatch, test)


def test_who_joins_in_the_middle_of_a_round_gets_nothing_twice(monkeypatch):
    async def test() -> None:
        here = await process()
        contexts = [here.feed.subscribe(ALL, None) for _ in range(12)]
        subscriptions = [each.__enter__() for each in contexts]
        outlets = [Outlet(each) for each in subscriptions[:6]]
        await settle()
        publish(here, row(1))
        await iterations(3)
        outlets += [Outlet(each) for each in subscriptions[6:]]
        await iterations(2)
        publish(here, row(2))
        await asyncio.sleep(1)
        assert all(outlet.got == ids(1, 2) for outlet in outlets)
        for each in contexts:
            each.__exit__(None, None, None)

    in_slices(monkeypatch, test)
