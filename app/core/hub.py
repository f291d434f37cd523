"""The in-process broadcast hub: the ring, who is live, and the flush."""

import asyncio
from collections import OrderedDict, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from app.core.cursor import Cursor
from app.core.event import Event
from app.core.filter import EVERYTHING, FilterKey, keys_of
from app.core.messages import ServiceMessage
from app.core.ports import Form, Position
from app.core.ring import Ring

if TYPE_CHECKING:
    from app.core.subscription import Subscription

BATCH_BYTES: Final = 64 * 1024
"""Events that are written to a socket at once are at most this, or one event: the mark of its write buffer."""

_SLICE_SECONDS: Final = 0.0002
"""Sockets are written for so long before other work of the loop gets its turn: a request takes some 30 turns."""

_SLICE_CHECK: Final = 4
"""Sockets between two looks at the clock."""

_CACHED_PAGES: Final = 64


@dataclass(slots=True)
class _Round:
    """One batch on its way to everybody it is for: the events after `start`, up to `end`."""

    start: int
    end: int
    events: Sequence[Event]
    todo: list[tuple["Subscription", Sequence[Event]]]
    pages: dict[str, bytes] = field(default_factory=dict)


class Hub:
    """Holds the newest events, and gives them to the live subscriptions they are for.

    A subscription is *live* while it has everything up to `flushed` and waits for more. Only the relay publishes.
    """

    def __init__(self, *, ring_events: int, ring_bytes: int, tick: float = 0.001) -> None:
        """Make a hub that has no history yet. `tick`: seconds between two rounds under load; they join more."""
        self._ring_events = ring_events
        self._ring_bytes = ring_bytes
        self._tick = tick
        self._ring = self._new_ring(0)
        self._live: defaultdict[FilterKey, set[Subscription]] = defaultdict(set)
        self._ahead: set[Subscription] = set()
        self._round: _Round | None = None
        self._due = False
        self._next_round = 0.0
        self._pages: OrderedDict[tuple[str, int, int], bytes] = OrderedDict()
        self.epoch = ""
        self.flushed = 0
        self.round_at = 0.0
        self.published = 0
        self.subscriptions: set[Subscription] = set()

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
        for subscription in self.subscriptions:
            subscription.wake(self.flushed)
        self._round = None
        self._pages.clear()
        self._ring = self._new_ring(recent[0].seq - 1 if recent else position.head)
        if recent:
            self._ring.extend(recent)
        self.epoch = position.epoch
        self.flushed = position.head

    def publish(self, events: Sequence[Event]) -> None:
        """Take events that follow the head; a round carries all that was published since the one before."""
        if not events:
            return
        self._ring.extend(events)
        self.published += len(events)
        for subscription in self._ahead:
            if subscription.position.seq <= self.head:
                subscription.wake()
        self._schedule()

    def announce(self, message: ServiceMessage) -> None:
        """Tell every subscription, live or behind."""
        for subscription in self.subscriptions:
            subscription.say(message)

    def since(self, seq: int, limit: int) -> Sequence[Event] | None:
        """Return at most `limit` events after `seq`; None if only the database can tell."""
        return self._ring.since(seq, limit)

    def joined(self, form: Form, events: Sequence[Event]) -> bytes:
        """Return unfiltered events as one byte string, made once for all who read the same page."""
        current = self._round
        if current is not None and events is current.events:
            page = current.pages.get(form.name)
            if page is None:
                page = current.pages[form.name] = form.join(events)
            return page
        key = (form.name, events[0].seq, events[-1].seq)
        page = self._pages.get(key)
        if page is None:
            page = self._pages[key] = form.join(events)
            if len(self._pages) > _CACHED_PAGES:
                self._pages.popitem(last=False)
        return page

    def join(self, subscription: "Subscription", keys: Iterable[FilterKey]) -> None:
        """Make a subscription live: it has everything up to `flushed`."""
        for key in keys:
            self._live[key].add(subscription)

    @contextmanager
    def awaited_by(self, subscription: "Subscription") -> Iterator[None]:
        """Wake a subscription whose cursor is ahead of the head as soon as the head is there."""
        self._ahead.add(subscription)
        try:
            yield
        finally:
            self._ahead.discard(subscription)

    def leave(self, subscription: "Subscription", keys: Iterable[FilterKey]) -> None:
        """Make it not live any more."""
        for key in keys:
            waiting = self._live[key]
            waiting.discard(subscription)
            if not waiting:
                del self._live[key]

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
        slice_end = self.round_at + _SLICE_SECONDS
        while current.todo and loop.time() < slice_end:
            for _ in range(min(_SLICE_CHECK, len(current.todo))):
                subscription, events = current.todo.pop()
                subscription.deliver(events, current.start, current.end)
        if current.todo:
            self._due = True
            loop.call_soon(self._flush)
            return
        self._round = None
        self.flushed = current.end
        self._next_round = loop.time() + self._tick
        if self.flushed < self.head:
            self._schedule()

    def _begin_round(self) -> _Round | None:
        """Return the next batch and who wants what of it; None if there is nothing."""
        if self.flushed >= self.head:
            return None
        events = self._ring.since(self.flushed)
        if events is None:
            # More was published at once than the ring holds: everybody looks for themselves.
            everyone: set[Subscription] = set().union(*self._live.values())
            return _Round(self.flushed, self.head, (), [(subscription, ()) for subscription in everyone])
        events = _first_bytes(events, BATCH_BYTES)
        todo: list[tuple[Subscription, Sequence[Event]]] = [(each, events) for each in self._live.get(EVERYTHING, ())]
        todo += self._filtered(events)
        return _Round(self.flushed, events[-1].seq, events, todo)

    def _filtered(self, events: Sequence[Event]) -> Iterable[tuple["Subscription", Sequence[Event]]]:
        """Return what filtered subscriptions want, asking only those that the index names."""
        if len(self._live) <= (EVERYTHING in self._live):
            return ()
        wanted: dict[Subscription, list[Event]] = {}
        for event in events:
            for key in keys_of(event)[1:]:
                for subscription in self._live.get(key, ()):
                    if subscription.wanted.matches(event):
                        wanted.setdefault(subscription, []).append(event)
        return wanted.items()

    def _new_ring(self, floor: int) -> Ring:
        return Ring(floor, max_events=self._ring_events, max_bytes=self._ring_bytes)


def _first_bytes(events: Sequence[Event], limit: int) -> Sequence[Event]:
    size = 0
    for index, event in enumerate(events):
        size += len(event.data)
        if size > limit and index:
            return events[:index]
    return events
