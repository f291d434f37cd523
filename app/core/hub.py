"""The in-process broadcast hub: the ring, who is live, and the flush."""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING

from app.core.events import EVERYTHING, Cursor, Event, FilterKey, keys_of
from app.core.messages import ServiceMessage
from app.core.ports import Position
from app.core.ring import Ring

if TYPE_CHECKING:
    from app.core.subscription import Subscription


class Hub:
    """Holds the newest events and wakes the subscriptions they are for.

    A subscription is *live* while it has everything up to `flushed` and waits for more. Only the relay publishes.
    """

    def __init__(self, *, ring_events: int, ring_bytes: int) -> None:
        """Make a hub that has no history yet; `rebase` gives it one."""
        self._ring_events = ring_events
        self._ring_bytes = ring_bytes
        self._ring = self._new_ring(0)
        self._live: defaultdict[FilterKey, set[Subscription]] = defaultdict(set)
        self._flush_due = False
        self.epoch = ""
        self.flushed = 0
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
        self._ring = self._new_ring(recent[0].seq - 1 if recent else position.head)
        if recent:
            self._ring.extend(recent)
        self.epoch = position.epoch
        self.flushed = position.head

    def publish(self, events: Sequence[Event]) -> None:
        """Take events that follow the head; they are flushed once for all that this loop iteration publishes."""
        if not events:
            return
        self._ring.extend(events)
        self.published += len(events)
        if not self._flush_due:
            self._flush_due = True
            asyncio.get_running_loop().call_soon(self._flush)

    def announce(self, message: ServiceMessage) -> None:
        """Tell every subscription, live or behind."""
        for subscription in self.subscriptions:
            subscription.say(message)

    def since(self, seq: int, limit: int) -> Sequence[Event] | None:
        """Return at most `limit` events after `seq`; None if only the database can tell."""
        return self._ring.since(seq, limit)

    def join(self, subscription: "Subscription", keys: Sequence[FilterKey]) -> None:
        """Let a subscription that has everything up to `flushed` be woken by what it wants."""
        for key in keys:
            self._live[key].add(subscription)

    def leave(self, subscription: "Subscription", keys: Sequence[FilterKey]) -> None:
        """Stop waking it."""
        for key in keys:
            waiting = self._live[key]
            waiting.discard(subscription)
            if not waiting:
                del self._live[key]

    def _flush(self) -> None:
        self._flush_due = False
        start, self.flushed = self.flushed, self.head
        events = self._ring.since(start)
        for subscription in self._everyone() if events is None else self._wanting(events):
            subscription.wake(start)

    def _wanting(self, events: Sequence[Event]) -> set["Subscription"]:
        """Return the live subscriptions that want one of these, asking only those the index names."""
        wanting = set(self._live.get(EVERYTHING, ()))
        if len(self._live) > (EVERYTHING in self._live):
            for event in events:
                for key in keys_of(event)[1:]:
                    wanting.update(found for found in self._live.get(key, ()) if found.wanted.matches(event))
        return wanting

    def _everyone(self) -> set["Subscription"]:
        return set().union(*self._live.values())

    def _new_ring(self, floor: int) -> Ring:
        return Ring(floor, max_events=self._ring_events, max_bytes=self._ring_bytes)
