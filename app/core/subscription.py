"""One client's cursor into the log: behind, then live, then perhaps behind again."""

from collections import deque
from typing import TYPE_CHECKING, Final

from app.core import messages
from app.core.access.grant import Limit, kept_within, narrowed
from app.core.batch import Batch
from app.core.cursor import Cursor
from app.core.filter import Wanted
from app.core.history import History
from app.core.messages import Close, ServiceMessage
from app.core.outlet import Outlet
from app.core.reader import LogReader

if TYPE_CHECKING:
    from app.core.audience import Audience

_INBOX: Final = 64
"""Replies and notices waiting for a client that does not read; its control messages are rate-limited far below."""


class Subscription:
    """A filter and a cursor, and the outlet where events go.

    Nothing is queued: what was not written yet is read again from the ring, or else from the database.
    """

    __slots__ = (
        "_catch_up_first",
        "_close",
        "_hub",
        "_inbox",
        "_joined",
        "_kept",
        "_outlet",
        "_paused",
        "_reader",
        "_told",
        "active_at",
    )

    def __init__(self, history: History, wanted: Wanted) -> None:
        """Start at the hub's head; `start` rewinds."""
        self._hub = history.hub
        self._reader = LogReader(history, wanted)
        self._told = self._reader.seq
        self._paused = False
        self._kept = False
        self._inbox: deque[ServiceMessage] | None = None
        self._close: Close | None = None
        self._catch_up_first = False
        self._joined: Audience | None = None
        self._outlet: Outlet | None = None
        self.active_at = 0.0

    @property
    def wanted(self) -> Wanted:
        """What it chooses by, or did when it was paused."""
        return self._reader.wanted

    @property
    def paused(self) -> bool:
        """Whether it takes no events until `subscribe`."""
        return self._paused

    @property
    def position(self) -> Cursor:
        """Everything up to here was written or not wanted."""
        reader = self._reader
        return Cursor(reader.epoch, max(reader.seq, self._joined.flushed) if self._joined is not None else reader.seq)

    @property
    def cursor(self) -> Cursor | None:
        """What the client should come back with now; None: nothing, for it named a cursor that cannot be read."""
        return None if self._reader.expired == "malformed" else self.position

    def start(self, cursor: str) -> None:
        """Go to a client's cursor; one that cannot be served becomes a `feed.reset`."""
        self._reader.start(cursor)
        self._told = self._reader.seq

    def hold(self) -> None:
        """Give no events before `subscribe`, which goes on from here."""
        self._paused = self._kept = True

    def greet(self) -> None:
        """Say where the feed begins, and what it chooses by."""
        self.say(messages.opened(None if self._paused else self.wanted, self.cursor))

    def subscribe(self, wanted: Wanted, cursor: str | None) -> None:
        """Choose by another filter from here on, or from `cursor`; acknowledged in the order of the feed."""
        here = self._hub.cursor if self._paused and not self._kept else self.position
        self._move(here, kept_within(wanted, self.wanted), paused=False)
        if cursor is not None:
            self.start(cursor)
        self.say(messages.subscribed(wanted, self.cursor))

    def limit(self, limit: Limit | None) -> None:
        """Let it read other streams from here on; what was chosen stays."""
        self._move(self.position, narrowed(self.wanted, limit), paused=self._paused)
        self.wake()

    def unsubscribe(self) -> None:
        """Pause: no events until `subscribe`; the acknowledgement has the cursor to come back with."""
        self._move(self.position, self.wanted, paused=True)
        self.say(messages.subscribed(None, self.cursor))

    def pong(self) -> None:
        """Answer a `ping`."""
        self.say(messages.pong(self.cursor))

    def say(self, message: ServiceMessage) -> None:
        """Put in a message of the service, before further events."""
        if self._inbox is None:
            self._inbox = deque(maxlen=_INBOX)
        self._inbox.append(message)
        self.wake()

    def attach(self, outlet: Outlet) -> None:
        """Write to this outlet from now on."""
        self._outlet = outlet
        # Its first words need no task: in a reconnect storm there are thousands of them.
        while self._inbox and not outlet.full:
            outlet.say(self._inbox.popleft())
        if not self._inbox:
            self._inbox = None  # an empty deque is 0.6 KiB
        if self._inbox or self._close or outlet.full or not self._idle:
            self._hub.turns.call(outlet.wake)
        else:
            self._join()

    def deliver(self, batch: Batch) -> None:
        """Take the hub's batch. Called while live."""
        if self._joined is None:
            return
        outlet = self._outlet
        if outlet is None or not batch.events or self._reader.seq > batch.start:
            # It reads by itself; also what joined in the middle of a round, and has some of the batch already.
            self.wake(batch.start)
            return
        self._reader.seq, self._told = batch.end, batch.events[-1].seq
        self.active_at = self._hub.round_at
        if not outlet.write(batch.bytes_for(outlet.form)):
            self._go_behind(batch.end)

    def close(self, close: Close, *, catch_up: bool = False) -> None:
        """End the feed, now or when what the ring has for it is written. The first call counts."""
        if self._close is None:
            self._close = close
            self._catch_up_first = catch_up
        self.wake()

    def wake(self, start: int | None = None) -> None:
        """Look again at what is to be done. `start`: events after it are new, all before it were not wanted."""
        self._go_behind(start)
        self._reader.interrupt()
        if self._outlet is not None:
            self._hub.turns.call(self._outlet.wake)

    def fail(self) -> None:
        """End a feed that could not take what it was given."""
        self._go_behind(None)
        if self._outlet is not None:
            self._outlet.fail()

    def leave(self) -> None:
        """Take nothing more from the hub."""
        self._outlet = None
        self._go_behind(None)

    async def catch_up(self) -> ServiceMessage | Close | None:
        """Write events to the outlet; return what is to be said before further ones.

        None: nothing is left to do, for it is live or paused, or nothing can be done, for the outlet is full.
        """
        while (outlet := self._outlet) is not None:
            if (said := self._to_say(outlet)) is not None or outlet.full:
                return said
            batch = None if self._paused else await self._reader.read(memory_only=self._close is not None)
            if batch is not None:
                self._told = batch.events[-1].seq
                outlet.write(batch.bytes_for(outlet.form))
                await self._hub.turns.next()
            elif self._close:
                return self._close
            elif self._idle and not self._inbox:
                self._join()
                return None
        return None

    def _to_say(self, outlet: Outlet) -> ServiceMessage | Close | None:
        if self._inbox and not outlet.full:
            return self._inbox.popleft()
        if self._close and not self._catch_up_first:
            return self._close
        if not self._reader.current and not outlet.full:
            return self._reset(self._reader.expired or "epoch")
        return None

    def moved(self) -> ServiceMessage | None:
        """Say where a client is that does not know it, because its filter skipped what led there; None: it knows."""
        if self._inbox or self._close or self._paused or not self._reader.current:
            return None
        position = self.position
        if position.seq == self._told:
            return None
        self._told = position.seq
        return messages.position(position)

    @property
    def _idle(self) -> bool:
        return self._reader.current if self._paused else self._reader.caught_up

    def _reset(self, reason: str) -> ServiceMessage:
        cursor = self._hub.cursor
        self._hub.measures.resets[reason] += 1
        self._move(cursor, self.wanted, paused=self._paused)
        self._reader.expired = None
        self._told = cursor.seq
        return messages.reset(reason, cursor)

    def _move(self, cursor: Cursor, wanted: Wanted, *, paused: bool) -> None:
        self._go_behind(None)
        self._reader.move(cursor, wanted)
        self._kept = self._kept and paused
        self._paused = paused

    def _join(self) -> None:
        """Go live: everything up to the head was written, or was not wanted."""
        if not self._paused and self._joined is None:
            self._joined = self._hub.audience
            self._joined.join(self, self.wanted)

    def _go_behind(self, start: int | None) -> None:
        """Leave the live set: the cursor becomes explicit again."""
        audience, self._joined = self._joined, None
        if audience is not None:
            audience.leave(self, self.wanted)
            self._reader.skip(audience.flushed if start is None else start)
