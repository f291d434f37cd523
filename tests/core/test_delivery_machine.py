"""Whatever happens, and in whatever order: each client gets each event it wants once, in order, or is told to reload.

Two processes of the service share one log. Writers write, fail, leave and are lied to; the log hangs, goes away, is
pruned and fails over; processes are restarted or killed; clients stall, filter, pause, rewind and move between the
processes. Every delivery is compared with what was committed, at the moment it is made.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace

import orjson
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from app.core import history as history_module
from app.core import hub as hub_module
from app.core import relay as relay_module
from app.core import ring as ring_module
from app.core import slices
from app.core.chain import StreamCreated
from app.core.cursor import Cursor
from app.core.errors import FluxoraError
from app.core.event import Event
from app.core.filter import AnyOf, EventFilter, Wanted
from app.core.messages import Close, ServiceMessage
from app.core.ports import Appended
from app.core.stream import Status, StreamChange
from app.core.turns import Turns
from tests.core.test_stream import STREAM
from tests.support.memory import MemoryLog, MemoryStore, Process
from tests.support.virtual import VirtualLoop, iterations

SLACK = 2
GLANCE = 1e-7
MAX_CLIENTS = 8

filters = st.sampled_from(
    [
        *[EventFilter()] * 4,
        EventFilter(senders=frozenset("a")),
        EventFilter(senders=frozenset("z")),
        EventFilter(senders=frozenset("az"), recipients=frozenset("b")),
        EventFilter(recipients=frozenset("by")),
        EventFilter(events=frozenset({"stream.updated"})),
        EventFilter(stream_ids=frozenset({"stream-0", "stream-2"})),
        EventFilter(senders=frozenset({"nobody"})),
        EventFilter(participants=frozenset("ab")),
        EventFilter(participants=frozenset("ay"), events=frozenset({"stream.created"})),
        AnyOf((EventFilter(senders=frozenset("a")), EventFilter(recipients=frozenset("y")))),
        AnyOf((EventFilter(senders=frozenset("a")), EventFilter(senders=frozenset("z"), recipients=frozenset("b")))),
    ]
)
turns = st.integers(0, 9)
which = st.integers(0, 20)
places = st.integers(0, 1)
marks = st.sampled_from([0, 2])
good_cursors = st.integers(0, 30).map("{{epoch}}-{}".format)
bad_cursors = st.sampled_from(["nonsense", "zzz-5", "{epoch}-1000000"])
cursors = st.none() | good_cursors | good_cursors | bad_cursors


def shown(wanted: Wanted | None) -> dict:
    return {"filter": None} if wanted is None else wanted.to_json()


class Socket:
    """An outlet whose client reads when the test says so; above `mark` unread events it wants no more."""

    name = "socket"

    def __init__(
        self,
        reading: asyncio.Event,
        mark: int,
        take: Callable[[list[bytes]], None],
        wake: Callable[[], None],
        hear: Callable[[ServiceMessage], None],
    ) -> None:
        self.form = self
        self.wake = wake
        self.hear = hear
        self.reading = reading
        self.mark = mark
        self.take = take
        self.unread: list[bytes] = []
        self.closed = self.full = self.failed = False

    def say(self, message: ServiceMessage) -> None:
        self.hear(message)

    def fail(self) -> None:
        self.failed = True

    def join(self, events: Sequence[Event]) -> bytes:
        return b"\n".join(event.data for event in events)

    def write(self, data: bytes) -> bool:
        if self.closed:
            return False
        self.take(data.split(b"\n"))
        self.unread.append(data)
        if self.reading.is_set():
            self.unread.clear()
        self.full = len(self.unread) > self.mark
        return not self.full

    def drain(self) -> None:
        self.unread.clear()
        self.full = False


class Client:
    """Follows the feed, and knows of every delivery whether it is right.

    Events come through an outlet, which may hold `mark` unread writes; a task runs only while there is something else
    to do.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, log: MemoryLog, wanted: EventFilter, mark: int) -> None:
        self._loop = loop
        self.mark = mark
        self.failure: AssertionError | None = None
        self.log = log
        self.wanted = wanted
        self.position = Cursor("", 0)
        self.paused = False
        self.malformed = False
        self.asked: deque[tuple[EventFilter | None, str | None]] = deque()
        self.reading = asyncio.Event()
        self.reading.set()
        self.closed = True
        self.received = 0

    def connect(self, process: Process, cursor: str | None) -> None:
        self.process = process
        self.paused = self.malformed = self.closed = False
        self.asked.clear()
        self._exit = ExitStack()
        self.subscription = self._exit.enter_context(process.feed.subscribe(self.wanted, cursor))
        self.position = self.subscription.position
        if cursor is not None:
            self._go_to(cursor)
        self.task = None
        self.socket = Socket(self.reading, self.mark, self._take_bytes, self.wake, self._take)
        self.subscription.attach(self.socket)

    def disconnect(self) -> None:
        self.check()
        self.closed = True
        self.socket.closed = True
        if self.task is not None:
            self.task.cancel()
        self._exit.close()

    @property
    def gone(self) -> bool:
        return self.closed

    def wake(self) -> None:
        if self.task is None and not self.closed:
            self.task = self._loop.create_task(self._catch_up())

    def read_on(self) -> None:
        self.reading.set()
        if not self.closed and self.socket.full:
            self.socket.drain()
            self.subscription.wake()

    def beat(self) -> None:
        """Hear where it is, as an SSE client does that did not get anything for a while."""
        if not self.closed and not self.socket.full and (moved := self.subscription.moved()):
            self._take(moved)

    def reconnect(self, process: Process) -> None:
        """Come back with the last id it knows, as any client would."""
        if not self.closed:
            self.disconnect()
        self.connect(process, "nonsense" if self.malformed else str(self.position))

    def subscribe(self, wanted: EventFilter, cursor: str | None) -> None:
        self.asked.append((wanted, cursor))
        self.subscription.subscribe(wanted, cursor)

    def unsubscribe(self) -> None:
        self.asked.append((None, None))
        self.subscription.unsubscribe()

    def check(self) -> None:
        if self.failure:
            raise self.failure
        if self.task is not None and self.task.done() and not self.task.cancelled():
            self.task.result()

    def missing(self) -> str | None:
        """What it still has to get, now that nothing happens any more."""
        if self.closed:
            return "it is not connected"
        if self.malformed or self.asked:
            return "it waits for an answer"
        if self.position.epoch != self.log.epoch:
            return "it is in another history"
        if self.paused:
            return None
        left = self._left(self.wanted)
        return f"{len(left)} events, from {left[0].id} on" if left else None

    async def _catch_up(self) -> None:
        subscription = self.subscription
        try:
            while not self.closed and (said := await subscription.catch_up()) is not None:
                self._take(said)
        except AssertionError as failure:
            self.failure = self.failure or failure
        finally:
            if subscription is self.subscription:
                self.task = None
        if self.closed and subscription is self.subscription:
            self._exit.close()

    def _take(self, said: ServiceMessage | Close) -> None:
        if isinstance(said, Close):
            self.closed = True
        else:
            self._take_message(said)

    def _take_bytes(self, got: list[bytes]) -> None:
        # The hub must not fail because a test does.
        try:
            self._take_events(got)
        except AssertionError as failure:
            self.failure = self.failure or failure

    def _take_events(self, got: list[bytes]) -> None:
        assert got
        assert not self.socket.full, "it said that it wants no more"
        assert not self.closed
        assert not self.paused
        assert not self.malformed
        assert not self.asked, "an event overtook an acknowledgement"
        assert self.position.epoch in self.log.histories
        if self._current():
            assert got == [event.data for event in self._left(self.wanted)[: len(got)]]
        for data in got:
            cursor = Cursor.parse(orjson.loads(data)["id"])
            assert cursor.epoch == self.position.epoch
            assert cursor.seq > self.position.seq
            self.position = cursor
        self.received += len(got)

    def _take_message(self, message: ServiceMessage) -> None:
        data = orjson.loads(message.data)
        if data["event"] == "feed.reset":
            self._take_reset(data["reason"], message.cursor)
        elif data["event"] == "subscribed":
            self._take_acknowledgement(data)
        elif data["event"] == "feed.position":
            assert not self.malformed
            assert not self.asked
            self._skip(message.cursor)
        else:
            assert data["event"] in {"service.degraded", "service.recovered"}

    def _take_reset(self, reason: str, cursor: Cursor | None) -> None:
        here = self.position
        assert not self.asked
        assert self.malformed == (reason == "malformed")
        if reason == "epoch":
            assert here.epoch != self.process.hub.epoch
        elif reason == "pruned":
            assert here.seq < self.log.floor or not self._current()
        elif reason == "future":
            assert here.seq > self.log.head or not self._current()
        assert cursor == self.process.hub.cursor
        self.position = cursor
        assert cursor.seq <= self.log.head or not self._current()
        self.malformed = False

    def _take_acknowledgement(self, data: dict) -> None:
        wanted, cursor = self.asked.popleft()
        if data["cursor"] is None:
            assert cursor == "nonsense" or (cursor is None and self.malformed)
            here = self.position
        else:
            here = Cursor.parse(data["cursor"])
            assert cursor is not None or not self.malformed
        assert {key: data[key] for key in data if key.startswith("filter")} == shown(wanted)
        if cursor is not None and cursor != "nonsense":
            assert data["cursor"] == cursor
        elif self.paused and wanted is not None:
            self.position = here
        else:
            self._skip(here)
        if cursor is not None:
            self._go_to(cursor)
        self.paused = wanted is None
        self.wanted = wanted or self.wanted

    def _skip(self, to: Cursor) -> None:
        """Go on to where the service says this client is: nothing it wants may lie between."""
        if self.paused:
            assert to == self.position
        assert to.epoch == self.position.epoch
        assert to.seq >= self.position.seq
        if self._current():
            skipped = [event.id for event in self._left(self.wanted) if event.seq <= to.seq]
            assert not skipped, f"lost without a word: {skipped}"
        self.position = to

    def _go_to(self, cursor: str) -> None:
        self.malformed = cursor == "nonsense"
        if not self.malformed:
            self.position = Cursor.parse(cursor)

    def _current(self) -> bool:
        """Tell whether its history is still the log's. If not, a reset must follow, and nothing else counts."""
        return self.position.epoch == self.log.epoch

    def _left(self, wanted: EventFilter) -> list:
        history = self.log.histories[self.position.epoch]
        return [event for event in history if event.seq > self.position.seq and wanted.matches(event)]


class DeliveryMachine(RuleBasedStateMachine):
    @initialize(
        tick=st.sampled_from([0.0, 0.0, 0.07, 0.3]),
        ring=st.fixed_dictionaries(
            {
                "ring_events": st.sampled_from([1, 4, 8]),
                "ring_bytes": st.sampled_from([1 << 20, 1 << 20, 2500, 1]),
            }
        ),
        wanted=st.lists(st.tuples(filters, marks), min_size=4, max_size=4),
        batch_bytes=st.sampled_from([1, 1500, 1 << 20]),
        most=st.sampled_from([1, 128]),
    )
    def start(
        self,
        tick: float,
        ring: dict[str, int],
        wanted: list[tuple[EventFilter, int]],
        batch_bytes: int,
        most: int,
    ) -> None:
        hub_module.BATCH_BYTES = batch_bytes
        self.loop = VirtualLoop(tick, GLANCE)
        self.log = MemoryLog()
        self.store = MemoryStore(self.log)
        self.most = most
        self.ring = ring
        self.clients: list[Client] = []
        self.writes: list[asyncio.Task] = []
        self.created = self.failovers = 0
        self.processes = [self.new_process(), self.new_process()]
        for number, (each, mark) in enumerate(wanted):
            self.connect(number % 2, each, mark, None, 0)

    def new_process(self) -> Process:
        process = self.loop.run_until_complete(Process(self.store, **self.ring).start())
        process.hub.turns = Turns(most=self.most)
        return process

    def turn(self, count: int) -> None:
        self.loop.run_until_complete(iterations(count))
        for client in self.clients:
            client.check()

    def client(self, number: int) -> Client:
        return self.clients[number % len(self.clients)]

    def connected(self, number: int) -> Client | None:
        client = self.client(number)
        return None if client.gone else client

    def do(self, act: Callable[..., None], *arguments: object) -> None:
        """Do what a client's bytes do, which come while the loop runs."""

        async def done() -> None:
            act(*arguments)

        self.loop.run_until_complete(done())

    def write(self, coroutine) -> None:
        async def attempt() -> None:
            with suppress(FluxoraError):
                await coroutine

        self.writes.append(self.loop.create_task(attempt()))

    def cursor(self, template: str | None) -> str | None:
        return None if template is None else template.format(epoch=self.log.epoch)

    # What writers do

    @rule(place=places, sender=st.sampled_from("az"), recipient=st.sampled_from("by"), turns=turns)
    def create(self, place: int, sender: str, recipient: str, turns: int) -> None:
        stream = replace(STREAM, id=f"stream-{self.created}", sender=sender, recipient=recipient, version=1)
        self.created += 1
        self.write(self.processes[place].streams.create(stream, None, None))
        self.turn(turns)

    @rule(place=places, senders=st.lists(st.sampled_from("az"), min_size=2, max_size=12), turns=turns)
    def ingest(self, place: int, senders: list[str], turns: int) -> None:
        batch = []
        for sender in senders:
            stream = replace(STREAM, id=f"stream-{self.created}", sender=sender, version=1)
            batch.append(StreamCreated(stream.id, (f"transaction {self.created}", 0), lambda _, made=stream: made))
            self.created += 1
        self.write(self.processes[place].streams.ingest(batch))
        self.turn(turns)

    @precondition(lambda self: self.created)
    @rule(place=places, stream=st.integers(0, 3), status=st.sampled_from(["active", "paused"]), turns=turns)
    def update(self, place: int, stream: int, status: str, turns: int) -> None:
        change = StreamChange(status=Status(status))
        self.write(self.processes[place].streams.update(f"stream-{stream}", change, None))
        self.turn(turns)

    @precondition(lambda self: self.writes)
    @rule(number=which)
    def leave_a_write(self, number: int) -> None:
        self.writes[number % len(self.writes)].cancel()

    @rule(faults=st.lists(st.sampled_from(["ok", "lost", "unknown", "late", "collision"]), min_size=1, max_size=3))
    def commits_will_fail(self, faults: list[str]) -> None:
        self.store.faults.extend(faults)

    @precondition(lambda self: self.store.late)
    @rule(turns=turns)
    def late_commits_succeed(self, turns: int) -> None:
        self.loop.run_until_complete(self.store.finish_late())
        self.turn(turns)

    # What clients do

    @precondition(lambda self: len(self.clients) < MAX_CLIENTS)
    @rule(place=places, wanted=filters, mark=marks, template=cursors, turns=turns)
    def connect(self, place: int, wanted: EventFilter, mark: int, template: str | None, turns: int) -> None:
        client = Client(self.loop, self.log, wanted, mark)
        self.do(client.connect, self.processes[place], self.cursor(template))
        self.clients.append(client)
        self.turn(turns)

    @rule(number=which, place=places, turns=turns)
    def reconnect(self, number: int, place: int, turns: int) -> None:
        self.do(self.client(number).reconnect, self.processes[place])
        self.turn(turns)

    @rule(numbers=st.sets(which, min_size=1))
    def stall(self, numbers: set[int]) -> None:
        for number in numbers:
            self.client(number).reading.clear()

    @rule(number=which, turns=turns)
    def read_on(self, number: int, turns: int) -> None:
        self.do(self.client(number).read_on)
        self.turn(turns)

    @rule(number=which, wanted=filters, template=cursors, turns=turns)
    def subscribe(self, number: int, wanted: EventFilter, template: str | None, turns: int) -> None:
        if client := self.connected(number):
            self.do(client.subscribe, wanted, self.cursor(template))
        self.turn(turns)

    @rule(number=which, turns=turns)
    def unsubscribe(self, number: int, turns: int) -> None:
        if client := self.connected(number):
            self.do(client.unsubscribe)
        self.turn(turns)

    # What befalls them

    @rule(keep=st.integers(0, 6), turns=turns)
    def prune(self, keep: int, turns: int) -> None:
        self.log.prune(self.log.head - keep)
        self.turn(turns)

    @rule(reachable=st.sampled_from([True, True, False]), turns=turns)
    def the_log_goes_or_comes(self, reachable: bool, turns: int) -> None:
        self.log.reachable = reachable
        self.turn(turns)

    @rule(hangs=st.sampled_from([False, False, True]), turns=turns)
    def the_log_hangs_or_answers(self, hangs: bool, turns: int) -> None:
        if hangs:
            self.log.open.clear()
        else:
            self.log.open.set()
        self.turn(turns)

    @rule(count=st.integers(1, 3))
    def ids_are_skipped(self, count: int) -> None:
        self.log.drawn += count

    @precondition(lambda self: self.failovers < 2 and self.created > 5)
    @rule(losing=st.integers(0, 4), turns=turns)
    def fail_over(self, losing: int, turns: int) -> None:
        self.failovers += 1
        self.log.fail_over(f"e{self.failovers}", losing=losing)
        self.turn(turns)

    @rule(place=places, graceful=st.booleans(), turns=turns)
    def restart(self, place: int, graceful: bool, turns: int) -> None:
        process = self.processes[place]
        if graceful:
            self.loop.run_until_complete(process.feed.close())
            self.turn(turns)
        process.kill()
        left = [client for client in self.clients if client.process is process]
        for client in left:
            if not client.closed:
                client.disconnect()
        self.turn(turns)
        self.log.reachable = True
        self.log.open.set()
        self.processes[place] = self.new_process()
        for client in left:
            self.do(client.reconnect, self.processes[place])

    @rule(seconds=st.sampled_from([0.5, 1.0, 2.0, 5.0]))
    def time_passes(self, seconds: float) -> None:
        self.loop.run_until_complete(asyncio.sleep(seconds))
        for client in self.clients:
            client.beat()
        self.turn(0)

    @rule(place=places, middle=st.sampled_from(["round", "replay", "commit"]))
    def come_to_the_middle(self, place: int, middle: str) -> None:
        """Let the next rule happen where it hurts."""
        process, reads, drawn = self.processes[place], len(self.log.reads), self.log.drawn

        async def come() -> None:
            for _ in range(60):
                reached = {
                    "round": process.hub._round is not None,
                    "replay": len(self.log.reads) > reads,
                    "commit": self.log.drawn > drawn,
                }
                if reached[middle]:
                    break
                await asyncio.sleep(0)

        self.loop.run_until_complete(come())
        self.turn(0)

    @rule(place=places, turns=turns)
    def a_notification_arrives(self, place: int, turns: int) -> None:
        self.loop.call_soon(self.processes[place].relay.look_soon)
        self.turn(turns)

    @precondition(lambda self: self.log.histories[self.log.epoch])
    @rule(place=places, back=st.integers(0, 6), count=st.integers(1, 4), turns=turns)
    def a_tail_brings_events(self, place: int, back: int, count: int, turns: int) -> None:
        """Some it had before, some not, perhaps with a gap before them, perhaps too late."""
        history = self.log.histories[self.log.epoch]
        start = max(0, len(history) - back)
        events = history[start : start + count]
        if events:
            after = Cursor(self.log.epoch, history[start - 1].seq if start else 0)
            self.loop.call_later(0.1 * turns, self.processes[place].relay.offer, Appended(after, events))
        self.turn(turns)

    # What must be true

    @invariant()
    def memory_is_bounded_and_the_index_is_right(self) -> None:
        for process in self.processes:
            hub = process.hub
            kept = hub.since(hub._ring.floor, 10**6)
            assert len(kept) <= self.ring["ring_events"] + SLACK
            assert sum(len(event.data) for event in kept) <= self.ring["ring_bytes"]
            audience = hub.audience
            assert set(audience) == {each for each in hub.subscriptions if each._joined is audience}
            groups = audience._groups
            assert all(each.wanted == wanted for wanted, group in groups.items() for each in group)
            index = {(key, wanted) for key, found in audience._index.items() for wanted in found}
            assert index == {(key, wanted) for wanted in groups for key in wanted.keys()}  # noqa: SIM118

    @rule()
    def in_the_end_everyone_has_everything(self) -> None:
        self.log.reachable = True
        self.log.open.set()
        self.store.faults.clear()
        self.loop.run_until_complete(self.store.finish_late())
        for client in self.clients:
            self.do(client.read_on)
            if client.closed:
                client.reconnect(self.processes[0])
        for _ in range(300):
            self.time_passes(0.5)
            self.turn(10)
            if not any(client.missing() for client in self.clients) and all(task.done() for task in self.writes):
                break
        self.turn(30)
        assert [client.missing() for client in self.clients] == [None] * len(self.clients)
        for process in self.processes:
            if process.hub.cursor != Cursor(self.log.epoch, self.log.head):
                self.time_passes(5.0)
            assert process.hub.cursor == Cursor(self.log.epoch, self.log.head)
        for task in self.writes:
            assert task.done()
            assert task.cancelled() or task.exception() is None
        self.writes.clear()

    def teardown(self) -> None:
        try:
            self.in_the_end_everyone_has_everything()
        finally:
            for task in asyncio.all_tasks(self.loop):
                task.cancel()
            self.loop.run_until_complete(iterations(10))
            self.loop.close()


@pytest.mark.timeout(300)
def test_delivery(monkeypatch):
    # Small enough that all but the newest few events come from the database, page by page.
    monkeypatch.setattr(ring_module, "_SLACK", SLACK)
    monkeypatch.setattr(history_module, "PAGE_EVENTS", 3)
    monkeypatch.setattr(history_module, "PAGE_BYTES", 1500)
    monkeypatch.setattr(relay_module, "_PAGE", 4)
    monkeypatch.setattr(hub_module, "BATCH_BYTES", hub_module.BATCH_BYTES)
    # A slice writes to one socket, so that all else can happen in the middle of a round.
    monkeypatch.setattr(hub_module, "_SLICE_CHECK", 1)
    for each in ("_SHORTEST", "_LONGEST"):
        monkeypatch.setattr(slices, each, 1.5 * GLANCE)
    run_state_machine_as_test(
        DeliveryMachine,
        settings=settings(
            max_examples=120,
            stateful_step_count=50,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            print_blob=True,
        ),
    )
