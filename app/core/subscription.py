"""One client's cursor into the log: behind, then live, then perhaps behind again."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from app.core import messages
from app.core.cursor import Cursor
from app.core.errors import CursorExpired, Unavailable
from app.core.event import Event
from app.core.filter import EVERYTHING, EventFilter, FilterKey
from app.core.hub import BATCH_BYTES, Hub
from app.core.messages import Close, Delivery, Events, Idle, ServiceMessage
from app.core.ports import EventLog, Form, Outlet

PAGE_EVENTS: Final = 500
PAGE_BYTES: Final = BATCH_BYTES
"""A page is at most this, and never less than one event: what a client that stops reading costs beside its socket."""

_UNFILTERED: Final = (EVERYTHING,)
_INBOX: Final = 64
"""Replies and notices waiting for a client that does not read; its control messages are rate-limited far below."""

_RETRY_SECONDS: Final = 1.0


class Subscription:
    """A filter and a cursor.

    With an outlet, events go straight there, and `catch_up` returns what else is to be said; without one, `next` waits
    for whatever is to be sent. Nothing is queued: what was not sent yet is read again from the ring, or else from the
    database.
    """

    __slots__ = (
        "_catch_up_first",
        "_changes",
        "_close",
        "_epoch",
        "_expired",
        "_hub",
        "_inbox",
        "_joined",
        "_keys",
        "_log",
        "_nudge",
        "_outlet",
        "_paused",
        "_replays",
        "_seq",
        "_told",
        "_waiting",
        "active_at",
        "wanted",
    )

    def __init__(
        self, hub: Hub, log: EventLog, replays: asyncio.Semaphore, wanted: EventFilter, nudge: Callable[[], None]
    ) -> None:
        """Start live at the hub's head; `start` rewinds. `nudge` has the hub brought up to the log."""
        self.wanted = wanted
        self._nudge = nudge
        self._hub = hub
        self._log = log
        self._replays = replays
        self._keys: tuple[FilterKey, ...] = tuple(wanted.keys())
        self._epoch, self._seq = hub.epoch, hub.head
        self._told = hub.head
        self._expired: str | None = None
        self._paused = False
        self._changes = 0
        self._inbox: deque[ServiceMessage] | None = None
        self._close: Close | None = None
        self._catch_up_first = False
        self._waiting: asyncio.Future[bool] | None = None
        self._joined = False
        self._outlet: Outlet | None = None
        self.active_at = 0.0

    @property
    def position(self) -> Cursor:
        """Everything up to here was sent or not wanted."""
        seq = max(self._seq, self._hub.flushed) if self._joined else self._seq
        return Cursor(self._epoch, seq)

    def start(self, cursor: str) -> None:
        """Go to a client's cursor; one that cannot be served becomes a `feed.reset`."""
        try:
            parsed = Cursor.parse(cursor)
        except ValueError:
            self._expired = "malformed"
        else:
            self._expired = None
            self._epoch, self._seq = parsed.epoch, parsed.seq
            self._told = self._seq

    def subscribe(self, wanted: EventFilter, cursor: str | None) -> None:
        """Choose by another filter from here on, or from `cursor`; acknowledged in the order of the feed."""
        here = self._hub.cursor if self._paused else self.position
        self._move(here, wanted, paused=False)
        if cursor is not None:
            self.start(cursor)
        self.say(messages.subscribed(wanted, Cursor(self._epoch, self._seq)))

    def unsubscribe(self) -> None:
        """Pause: no events until `subscribe`; the acknowledgement has the cursor to come back with."""
        here = self.position
        self._move(here, self.wanted, paused=True)
        self.say(messages.subscribed(None, here))

    def say(self, message: ServiceMessage) -> None:
        """Put in a message of the service, before further events."""
        if self._inbox is None:
            self._inbox = deque(maxlen=_INBOX)
        self._inbox.append(message)
        self.wake()

    def attach(self, outlet: Outlet) -> None:
        """Write events straight to this outlet from now on."""
        self._outlet = outlet
        if self._inbox or self._close or not self._caught_up():
            outlet.wake()
        else:
            self._join()

    def deliver(self, events: Sequence[Event], start: int, end: int) -> None:
        """Take the hub's batch: what is wanted of the events after `start`, up to `end`. Called while live."""
        if not self._joined:
            return
        outlet = self._outlet
        if outlet is None or not events or self._seq > start:
            # It reads by itself; also what joined in the middle of a round, and has some of the batch already.
            self.wake(start)
            return
        self._seq, self._told = end, events[-1].seq
        self.active_at = self._hub.round_at
        if not outlet.write(self._bytes(outlet.form, events)):
            self._go_behind(end)

    def close(self, close: Close, *, catch_up: bool = False) -> None:
        """End the feed, now or when what the ring has for it is sent. The first call counts."""
        if self._close is None:
            self._close = close
            self._catch_up_first = catch_up
        self.wake()

    def wake(self, start: int | None = None) -> None:
        """Look again at what is to be done. `start`: events after it are new, all before it were not wanted."""
        # Also when its time is up, or it was cancelled, and `next` has not run since: it would take all as seen.
        self._go_behind(start)
        if self._waiting is not None:
            if not self._waiting.done():
                self._waiting.set_result(True)
        elif self._outlet is not None:
            self._outlet.wake()

    def leave(self) -> None:
        """Take nothing more from the hub; whoever waits in `next` is cancelled on its own."""
        self._outlet = None
        self._go_behind(None)

    async def next(self, idle: float | None = None) -> Delivery:
        """Wait for what to send next; an Idle after `idle` seconds without any."""
        while True:
            if self._inbox:
                return self._inbox.popleft()
            if self._close and not self._catch_up_first:
                return self._close
            delivery = await self._advance()
            if isinstance(delivery, Events):
                self._told = delivery.events[-1].seq
            if delivery is not None:
                return delivery
            if self._close:
                return self._close
            if self._caught_up() and not await self._wait(idle) and not self._inbox:
                return self.idle()

    async def catch_up(self) -> ServiceMessage | Close | None:
        """Write events to the outlet; return what is to be said before further ones.

        None: nothing is left to do, for it is live or paused, or nothing can be done, for the outlet is full.
        """
        outlet = self._outlet
        assert outlet is not None
        while True:
            if self._inbox and not outlet.full:
                return self._inbox.popleft()
            if self._close and not self._catch_up_first:
                return self._close
            if outlet.full:
                return None
            delivery = await self._advance()
            if isinstance(delivery, Events):
                self._told = delivery.events[-1].seq
                outlet.write(self._bytes(outlet.form, delivery.events))
                await asyncio.sleep(0)
            elif delivery is not None:
                return delivery
            elif self._close:
                return self._close
            elif self._caught_up() and not self._inbox:
                self._join()
                return None

    def idle(self) -> Idle:
        """Return where the client is, which did not get anything for a while."""
        position, told = self.position, self._told
        self._told = position.seq
        return Idle(position, moved=position.seq != told)

    async def _advance(self) -> Events | ServiceMessage | None:
        """Read on from the cursor: something to send, or None when there is nothing now."""
        if self._expired is None and self._epoch != self._hub.epoch:
            self._expired = "epoch"
        if self._expired is not None:
            return self._reset(self._expired)
        if self._paused:
            return None
        if self._seq > self._hub.head:
            await self._check_future()
            return None
        while self._seq < self._hub.head:
            events = self._hub.since(self._seq, PAGE_EVENTS)
            if events is None:
                return await self._replay()
            page = self._take(events, upto=events[-1].seq)
            if page:
                return Events(page)
        return None

    async def _replay(self) -> Events | None:
        """Read a page from the database; no transaction is held while it is sent."""
        if self._close:
            self._catch_up_first = False
            return None
        upto, changes = self._hub.head, self._changes
        try:
            async with self._replays:
                events = await self._log.read(Cursor(self._epoch, self._seq), upto, self.wanted, PAGE_EVENTS)
        except CursorExpired as expired:
            if changes == self._changes:
                self._expired = expired.reason
            return None
        except Unavailable:
            await self._wait(_RETRY_SECONDS)
            return None
        if changes != self._changes:
            return None
        page = self._take(events, upto=events[-1].seq if len(events) == PAGE_EVENTS else upto)
        return Events(page) if page else None

    async def _check_future(self) -> None:
        """Tell a cursor of the future from one that another process, ahead of this one, gave out."""
        if self._close:
            return
        changes = self._changes
        self._nudge()
        try:
            async with self._replays:
                if changes != self._changes or self._seq <= self._hub.head:
                    return
                position = await self._log.position()
        except Unavailable:
            await self._wait(_RETRY_SECONDS)
            return
        if changes == self._changes and self._seq > position.head:
            self._expired = "future"
        elif self._seq > self._hub.head:
            with self._hub.awaited_by(self):
                await self._wait(_RETRY_SECONDS)

    def _take(self, events: Sequence[Event], *, upto: int) -> list[Event]:
        """Choose a page from events that follow the cursor, and move the cursor past what was looked at."""
        page: list[Event] = []
        size = 0
        for event in events:
            if not self.wanted.matches(event):
                continue
            size += len(event.data)
            if page and size > PAGE_BYTES:
                self._seq = page[-1].seq
                return page
            page.append(event)
        self._seq = max(self._seq, upto)
        return page

    def _bytes(self, form: Form, events: Sequence[Event]) -> bytes:
        return self._hub.joined(form, events) if self._keys == _UNFILTERED else form.join(events)

    def _reset(self, reason: str) -> ServiceMessage:
        cursor = self._hub.cursor
        self._move(cursor, self.wanted, paused=self._paused)
        self._expired = None
        self._told = cursor.seq
        return messages.reset(reason, cursor)

    def _move(self, cursor: Cursor, wanted: EventFilter, *, paused: bool) -> None:
        self._changes += 1
        self._go_behind(None)
        self._epoch, self._seq = cursor.epoch, cursor.seq
        self.wanted, self._keys, self._paused = wanted, tuple(wanted.keys()), paused

    def _caught_up(self) -> bool:
        if self._expired is not None or self._epoch != self._hub.epoch:
            return False
        return self._paused or self._seq == self._hub.head

    async def _wait(self, seconds: float | None) -> bool:
        """Wait to be woken; False when `seconds` went by instead."""
        if self._inbox or self._close:
            return True
        loop = asyncio.get_running_loop()
        woken: asyncio.Future[bool] = loop.create_future()
        self._waiting = woken
        timer = None if seconds is None else loop.call_later(seconds, self._give_up, woken)
        if self._caught_up():
            self._join()
        try:
            return await woken
        finally:
            if timer is not None:
                timer.cancel()
            self._go_behind(None)
            self._waiting = None

    def _join(self) -> None:
        """Go live: everything up to the head was sent, or was not wanted."""
        if not self._paused and not self._joined:
            self._joined = True
            self._hub.join(self, self._keys)

    def _go_behind(self, start: int | None) -> None:
        """Leave the live set: the cursor becomes explicit again."""
        if self._joined:
            seen = self._hub.flushed if start is None else start
            self._joined = False
            self._hub.leave(self, self._keys)
            if self._epoch == self._hub.epoch:
                self._seq = max(self._seq, seen)

    @staticmethod
    def _give_up(woken: asyncio.Future[bool]) -> None:
        if not woken.done():
            woken.set_result(False)
