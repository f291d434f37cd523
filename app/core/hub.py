"""The in-process broadcast hub: the ring, who is live, and the flush."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Final

import structlog

from app.core.announcer import Announcer
from app.core.audience import Audience
from app.core.batch import BATCH_BYTES, Batch, Pages, first_bytes
from app.core.cursor import Cursor
from app.core.event import Event
from app.core.listener import Listener
from app.core.measures import Measures
from app.core.messages import ServiceMessage
from app.core.ports import Position
from app.core.ring import Ring
from app.core.slices import Slices
from app.core.turns import Turns

_SLICE_CHECK: Final = 4
"""Sockets between two looks at the clock."""

_logger = structlog.stdlib.get_logger(__name__)


class _Round:
    """A batch of the log on its way to everybody it is for."""

    __slots__ = ("_events", "end", "todo")

    def __init__(self, events: Sequence[Event], end: int, todo: list[tuple[Listener, Batch]]) -> None:
        self._events = events
        self.end = end
        self.todo = todo
        for event in events:
            event.forms = {}

    def finish(self) -> None:
        for event in self._events:
            event.forms = None


class Hub:
    """Holds the newest events, and gives them to the live listeners they are for.

    A listener is *live* while it has everything up to `flushed` and waits for more. Only the relay publishes.
    """

    def __init__(
        self, *, ring_events: int, ring_bytes: int, tick: float = 0.001, measures: Measures | None = None
    ) -> None:
        """Make a hub that has no history yet. `tick`: seconds between two rounds under load; they join more."""
        self._ring_events = ring_events
        self._ring_bytes = ring_bytes
        self._tick = tick
        self._ring = self._new_ring(0)
        self.audience = Audience(0)
        self._ahead: set[tuple[int, Callable[[], None]]] = set()
        self._round: _Round | None = None
        self._due = False
        self._next_round = 0.0
        self._slices = Slices()
        self.pages = Pages()
        self.turns = Turns()
        self.epoch = ""
        self.round_at = 0.0
        self.published = 0
        self.measures = measures or Measures()
        self._publishes: deque[tuple[int, float]] = deque()
        self.subscriptions: set[Listener] = set()
        self._announcer = Announcer(self.subscriptions)

    @property
    def head(self) -> int:
        """The newest published sequence number."""
        return self._ring.head

    @property
    def cursor(self) -> Cursor:
        """The head, as a cursor."""
        return Cursor(self.epoch, self._ring.head)

    def rebase(self, position: Position, recent: Sequence[Event] = ()) -> None:
        """Go to another position, perhaps of another history, with no gap to claim: readers look for themselves.

        `recent` are the newest events up to it, so that resumes after a restart don't all go to the database.
        """
        self._round = None
        self._publishes.clear()
        self.measures.tracer.forget()
        self.pages.clear()
        self._ring = self._new_ring(recent[0].seq - 1 if recent else position.head)
        if recent:
            self._ring.extend(recent)
        self.epoch = position.epoch
        self.audience = Audience(position.head)
        # Each reads on, or is told, from where the old audience was.
        self._announcer.tell(_wake)

    def publish(self, events: Sequence[Event]) -> None:
        """Take events that follow the head; a round carries all that was published since the one before."""
        if not events:
            return
        self._ring.extend(events)
        self.published += len(events)
        self._publishes.append((self.head, asyncio.get_running_loop().time()))
        for seq, wake in self._ahead:
            if seq <= self.head:
                wake()
        self._schedule()

    @property
    def flushed(self) -> int:
        """Up to where the live listeners have everything."""
        return self.audience.flushed

    @property
    def behind(self) -> int:
        """How many subscriptions are not live: they catch up, are paused, or do not read."""
        return len(self.subscriptions) - len(self.audience)

    @property
    def ring(self) -> Ring:
        """The newest events, in memory."""
        return self._ring

    def announce(self, message: ServiceMessage) -> None:
        """Tell every subscription, live or behind."""
        self._announcer.tell(partial(_say, message))

    def since(self, seq: int, limit: int) -> Sequence[Event] | None:
        """Return at most `limit` events after `seq`; None if only the database can tell."""
        return self._ring.since(seq, limit)

    @contextmanager
    def awaited(self, seq: int, wake: Callable[[], None]) -> Iterator[None]:
        """Call `wake` as soon as the head is at `seq`."""
        waiting = (seq, wake)
        self._ahead.add(waiting)
        try:
            yield
        finally:
            self._ahead.discard(waiting)

    def _schedule(self) -> None:
        if not self._due:
            self._due = True
            loop = asyncio.get_running_loop()
            if loop.time() >= self._next_round:
                loop.call_soon(self._flush)
            else:
                loop.call_at(self._next_round, self._flush)

    def _flush(self) -> None:
        """Do a slice of the round under way, or begin the next."""
        loop = asyncio.get_running_loop()
        self._due = False
        current = self._round = self._round or self._begin_round()
        if current is None:
            return
        self.round_at = loop.time()
        slice_end = self._slices.begin(self.round_at)
        while current.todo and loop.time() < slice_end:
            for _ in range(min(_SLICE_CHECK, len(current.todo))):
                _deliver(*current.todo.pop())
        self._slices.end(loop.time())
        if current.todo:
            self._due = True
            loop.call_soon(self._flush)
            return
        current.finish()
        self._round = None
        self.audience.flushed = current.end
        now = loop.time()
        while self._publishes and self._publishes[0][0] <= self.flushed:
            self.measures.commit_to_write.observe(now - self._publishes.popleft()[1])
        self.measures.tracer.flushed(self.flushed)
        self._next_round = now + self._tick
        if self.flushed < self.head:
            self._schedule()

    def _begin_round(self) -> _Round | None:
        """Return the next batch and who wants what of it; None if there is nothing."""
        start = self.flushed
        if start >= self.head:
            return None
        events = self._ring.since(start)
        if events is None:
            # More was published at once than the ring holds: everybody looks for themselves.
            nothing = Batch((), start, self.head)
            return _Round((), self.head, [(each, nothing) for each in self.audience])
        events = first_bytes(events, BATCH_BYTES)
        end = events[-1].seq
        todo: list[tuple[Listener, Batch]] = []
        for wanted, chosen in self.audience.chosen(events).items():
            batch, listeners = Batch(chosen, start, end), self.audience.wanting(wanted)
            todo += [(listener, batch) for listener in listeners]
            self.measures.delivered["live"] += len(chosen) * len(listeners)
        return _Round(events, end, todo)

    def _new_ring(self, floor: int) -> Ring:
        return Ring(floor, max_events=self._ring_events, max_bytes=self._ring_bytes)


def _wake(listener: Listener) -> None:
    listener.wake()


def _say(message: ServiceMessage, listener: Listener) -> None:
    listener.say(message)


def _deliver(listener: Listener, batch: Batch) -> None:
    try:
        listener.deliver(batch)
    except Exception:
        _logger.exception("delivery_failed")
        listener.fail()
