"""The hub wakes those, and only those, who want something."""

import asyncio
from contextlib import ExitStack, contextmanager

from app.core.filter import EventFilter
from app.core.hub import Hub
from app.core.messages import pong
from app.core.ports import Position
from tests.support.memory import MemoryLog, MemoryStore, Process, row
from tests.support.reading import Events, Reader
from tests.support.virtual import settle, virtual


async def process(**settings) -> Process:
    """A process whose relay does not run: tests publish by hand."""
    made = Process(MemoryStore(MemoryLog()), **settings)
    await made.relay.warm_up(0)
    return made


def publish(to: Process, *rows) -> None:
    to.hub.publish(to.log.commit(*rows))


@contextmanager
def reading(here: Process, wanted, cursor, **options):
    """A subscription that is read by `next`."""
    with here.feed.subscribe(wanted, cursor, **options) as subscription:
        yield Reader(subscription)


def seqs(delivery) -> list[int]:
    assert isinstance(delivery, Events)
    return [event.seq for event in delivery.events]


@virtual
async def test_one_loop_iteration_is_one_flush():
    here = await process()
    with reading(here, EventFilter(), None) as subscription:
        waiting = asyncio.create_task(subscription.next())
        await settle()
        publish(here, row(1))
        publish(here, row(2), row(5))
        assert (here.hub.head, here.hub.flushed, here.hub.published) == (5, 0, 3)
        await settle()
        assert here.hub.flushed == 5
        assert seqs(waiting.result()) == [1, 2, 5]


@virtual
async def test_only_who_wants_it_wakes():
    here = await process()
    with (
        reading(here, EventFilter(senders=frozenset("a")), None) as mine,
        reading(here, EventFilter(senders=frozenset("z")), None) as other,
        reading(here, EventFilter(senders=frozenset("a"), recipients=frozenset("z")), None) as neither,
    ):
        tasks = [asyncio.create_task(each.next()) for each in (mine, other, neither)]
        await settle()
        publish(here, row(7, sender="a", recipient="b"))
        await settle()
        assert [task.done() for task in tasks] == [True, False, False]
        assert seqs(tasks[0].result()) == [7]
        assert [str(each.position) for each in (mine, other, neither)] == ["one-7"] * 3
        for task in tasks:
            task.cancel()


@virtual
async def test_nobody_stays_in_the_index():
    here = await process()
    for wanted in (EventFilter(), EventFilter(senders=frozenset("ab"))):
        with reading(here, wanted, None) as subscription:
            task = asyncio.create_task(subscription.next())
            await settle()
            assert here.hub.audience
            task.cancel()
            await settle()
        assert not here.hub.audience
        assert not here.hub.subscriptions


@virtual
async def test_a_flush_larger_than_the_ring_wakes_everyone():
    here = await process(ring_bytes=300)
    with reading(here, EventFilter(senders=frozenset("z")), None) as subscription:
        task = asyncio.create_task(subscription.next())
        await settle()
        publish(here, row(1, sender="z"), row(2, size=1000))
        await settle()
        assert seqs(task.result()) == [1]
        assert here.log.reads == [0]


@virtual
async def test_an_empty_publication_is_none():
    here = await process()
    here.hub.publish([])
    assert (here.hub.head, here.hub.published) == (0, 0)


@virtual
async def test_rebase_before_the_flush_loses_nothing():
    here = await process()
    with reading(here, EventFilter(), None) as subscription:
        task = asyncio.create_task(subscription.next())
        await settle()
        publish(here, row(1))
        here.log.add(2)
        here.hub.rebase(await here.log.position())
        publish(here, row(4))
        await settle()
        got = seqs(task.result())
        while len(got) < 4:
            got += seqs(await subscription.next())
        assert got == [1, 2, 3, 4]


@virtual
async def test_who_is_not_told_yet_of_a_rebase_is_where_it_was():
    here = await process()
    with ExitStack() as stack:
        readers = [stack.enter_context(reading(here, EventFilter(), None)) for _ in range(100)]
        waiting = [asyncio.create_task(each.next()) for each in readers]
        await settle()
        publish(here, row(1), row(2))
        await settle()
        assert [seqs(task.result()) for task in waiting] == [[1, 2]] * 100
        waiting = [asyncio.create_task(each.next()) for each in readers]
        await settle()
        assert len(here.hub.audience) == 100
        # Nobody has its turn between these: the head of the same history is further, and events come at once.
        here.log.add()
        here.hub.rebase(await here.log.position())
        assert {str(each.position) for each in here.hub.subscriptions} == {"one-2"}
        publish(here, row(4))
        await settle()
        for each, task in zip(readers, waiting, strict=True):
            got = seqs(task.result())
            while len(got) < 2:
                got += seqs(await each.next())
            assert got == [3, 4]


@virtual
async def test_a_page_of_a_history_that_was_replaced_meanwhile_is_not_kept():
    here = await process(ring_bytes=1)
    publish(here, row(1), row(2), row(3))
    with reading(here, EventFilter(), "one-0") as slow:
        page = asyncio.create_task(slow.next())
        while not here.log.reads:
            await asyncio.sleep(0)
        here.log.fail_over("two")
        here.hub.rebase(await here.log.position())
        with reading(here, EventFilter(), "two-0") as other:
            await page
            assert all(event.data.startswith(b'{"id":"two-') for event in (await other.next()).events)


@virtual
async def test_a_reader_gets_nothing_of_another_history_before_it_is_told():
    here = await process(ring_bytes=1)
    publish(here, row(1, sender="z"), row(2, sender="z"))
    with reading(here, EventFilter(senders=frozenset("a")), "one-0") as behind:
        page = asyncio.create_task(behind.next())
        while not here.log.reads:
            await asyncio.sleep(0)
        here.log.fail_over("two")
        here.log.drawn = 5
        events = here.log.commit(row(6), row(7))
        here.hub.rebase(await here.log.position(), events)
        assert not isinstance(await page, Events)


@virtual
async def test_rebase_with_recent_events_serves_them_from_memory():
    log = MemoryLog()
    events = log.commit(row(3), row(7), row(8))
    here = Process(MemoryStore(log))
    here.hub.rebase(Position("one", 8, 0), events[1:])
    assert here.hub.since(6, 10) == events[1:]
    assert here.hub.since(5, 10) is None
    assert (here.hub.head, here.hub.flushed) == (8, 8)


@virtual
async def test_announcements_reach_the_live_and_the_stalled():
    here = await process()
    wanted = EventFilter(senders=frozenset("z"))
    with reading(here, wanted, None) as live, reading(here, wanted, None) as stalled:
        task = asyncio.create_task(live.next())
        await settle()
        message = pong(None)
        here.hub.announce(message)
        await settle()
        assert task.result() is message
        assert await stalled.next() is message


def test_a_hub_without_history_has_no_epoch():
    assert str(Hub(ring_events=1, ring_bytes=1).cursor) == "-0"


class Counting:
    """A form that says how often it was made."""

    name = "counting"

    def __init__(self) -> None:
        self.joined: list[list[int]] = []
        self.encoded: list[int] = []

    def join(self, events) -> bytes:
        self.joined.append([event.seq for event in events])
        return b"".join(event.form("counting", self._encode) for event in events)

    def _encode(self, event) -> bytes:
        self.encoded.append(event.seq)
        return event.data


class Taking:
    """A listener that takes all, in one form."""

    def __init__(self, form: Counting) -> None:
        self.form = form
        self.got: list[bytes] = []
        self.failed = False

    def deliver(self, batch) -> None:
        self.got.append(batch.bytes_for(self.form))

    def fail(self) -> None:
        self.failed = True


class Failing(Taking):
    def deliver(self, batch) -> None:
        raise RuntimeError("broken")


@virtual
async def test_a_group_has_its_bytes_made_once_and_an_event_its_form():
    here, form = await process(), Counting()
    of_a, of_b = EventFilter(senders=frozenset("a")), EventFilter(recipients=frozenset("b"))
    listeners = [Taking(form) for _ in range(9)]
    for number, listener in enumerate(listeners):
        here.hub.audience.join(listener, (EventFilter(), of_a, of_b)[number % 3])
    publish(here, row(1), row(2, sender="z"), row(3))
    await settle()
    assert sorted(form.joined) == [[1, 2, 3], [1, 2, 3], [1, 3]]
    assert sorted(form.encoded) == [1, 2, 3]
    assert all(len(listener.got) == 1 for listener in listeners)
    # What was encoded is not kept beside the ring.
    assert all(event.forms is None for event in here.hub.since(0, 10))


@virtual
async def test_a_listener_that_fails_is_failed_and_the_round_goes_on():
    here, form = await process(), Counting()
    listeners = [(Failing if number % 2 else Taking)(form) for number in range(10)]
    for listener in listeners:
        here.hub.audience.join(listener, EventFilter())
    publish(here, row(1))
    await settle()
    assert here.hub.flushed == 1
    for listener in listeners:
        assert listener.failed is isinstance(listener, Failing)
        assert len(listener.got) == (not listener.failed)
