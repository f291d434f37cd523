"""Keeps the hub equal to the log: the only publisher."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Final

import structlog

from app.core.cursor import Cursor
from app.core.errors import CursorExpired, Unavailable
from app.core.event import Event
from app.core.filter import EventFilter
from app.core.hub import Hub
from app.core.outages import Outages
from app.core.ports import Appended, EventLog

DATABASE: Final = "database"
_PAGE: Final = 1000
_RETRY_SECONDS: Final = 1.0

_OFFER_SECONDS: Final = 0.1
"""Seconds that a look at the log gives a tail that carries events, before it reads what the tail is about to bring."""

_OFFERING_SECONDS: Final = 5.0
"""Seconds since a tail brought something in which it is taken to carry events."""

_logger = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Lag:
    """How far the hub is behind what is known of the log: ids (some may be holes), and for how many seconds."""

    events: int
    seconds: float


class Relay:
    """Publishes what is committed, in commit order, none left out.

    There are two ways. What is committed here, or brought by a tail, says which position it follows, and is published
    at once if the hub is there. In every other case somebody asks for a look, and it reads the log from the hub's head.
    Both ways check the hub's position in the same breath as they publish, so neither can overtake the other.
    """

    def __init__(self, hub: Hub, log: EventLog, outages: Outages, *, poll_seconds: float) -> None:
        """`poll_seconds` is how often the log is looked at when nothing else says so."""
        self._hub = hub
        self._log = log
        self._outages = outages
        self._poll_seconds = poll_seconds
        self._appending = asyncio.Lock()
        self._wanted = asyncio.Event()
        self._wanted_at: float | None = None
        self._looking_since: float | None = None
        self._offered = asyncio.Event()
        self._offering_until = 0.0
        self._committed = hub.cursor
        self.latency_ms: float | None = None
        self.floor = 0
        """Up to where the log is pruned, as the last look found it."""
        self.published: Counter[str] = Counter()
        """Events by the way they came: `commit` of this process, `tail`, or `log`."""

    @property
    def committed(self) -> Cursor:
        """The newest position of the log that is known here, published or not."""
        known, published = self._committed, self._hub.cursor
        return known if known.epoch != published.epoch else max(known, published, key=lambda cursor: cursor.seq)

    @property
    def lag(self) -> Lag:
        """How far the hub is behind. Costs nothing: it is what the looks at the log found, and how long they take."""
        committed = self.committed
        events = committed.seq - self._hub.head if committed.epoch == self._hub.epoch else 0
        since = self._wanted_at if self._looking_since is None else self._looking_since
        return Lag(events, 0.0 if since is None else _now() - since)

    async def warm_up(self, recent: int) -> None:
        """Start the hub at the log's head, with the newest `recent` events in its ring."""
        position = await self._log.position()
        self.floor = position.floor
        self._hub.rebase(position)
        self._committed = self._hub.cursor
        start = max(position.floor, position.head - recent)
        events: list[Event] = []
        while start < position.head:
            try:
                page = await self._log.read(position.at(start), position.head, EventFilter(), _PAGE)
            except CursorExpired:
                page = []
            if not page:
                return
            events += page
            start = page[-1].seq
        self._hub.rebase(position, events)

    @asynccontextmanager
    async def append_lock(self) -> AsyncIterator[None]:
        """Hold over append, commit and hand-over: the database's own lock alone does not order the publications."""
        async with self._appending:
            try:
                yield
            except BaseException:
                # It may be committed all the same.
                self.look_soon()
                raise

    def publish_committed(self, appended: Appended) -> None:
        """Publish what was just committed here; the caller holds the turn. It waits for nothing."""
        if appended.after == self._hub.cursor:
            self._publish("commit", appended.events)
        else:
            self._committed = Cursor(appended.after.epoch, appended.events[-1].seq)
            self.look_soon()

    def offer(self, appended: Appended) -> None:
        """Take what a tail brings: pass over what the hub has, publish what follows, and look where there is a gap."""
        hub, after = self._hub, appended.after
        if after.epoch != hub.epoch or after.seq > hub.head:
            self._offering_until = 0.0
            self.look_soon()
            return
        self._offering_until = _now() + _OFFERING_SECONDS
        self._offered.set()
        self._publish("tail", [event for event in appended.events if event.seq > hub.head])

    def _publish(self, way: str, events: Sequence[Event]) -> None:
        self.published[way] += len(events)
        self._hub.publish(events)

    def look_soon(self) -> None:
        """Look at the log now; many wishes before the look are one."""
        if not self._wanted.is_set():
            self._wanted_at = _now()
            self._wanted.set()

    async def run(self) -> None:
        """Look at the log again and again; tell when it cannot be reached, and when it can again."""
        while True:
            if not await self._look():
                await asyncio.sleep(min(self._poll_seconds, _RETRY_SECONDS))
                continue
            with suppress(TimeoutError):
                async with asyncio.timeout(self._poll_seconds):
                    await self._wanted.wait()

    async def _look(self) -> bool:
        """Look once; tells whether the log could be read."""
        if self._looking_since is None:
            self._looking_since = _now() if self._wanted_at is None else self._wanted_at
        # Before reading: what is committed after the read began asks again.
        self._wanted.clear()
        self._wanted_at = None
        try:
            level = await self._synchronise()
        except Unavailable as error:
            self.latency_ms = None
            if self._outages.begin(DATABASE, str(error)):
                _logger.warning("database_unreachable", reason=str(error))
            return False
        except Exception:
            self.latency_ms = None
            self._outages.begin(DATABASE, "the log cannot be read")
            raise
        if level:
            self._looking_since = None
        if self._outages.end(DATABASE, "the database can be reached again"):
            _logger.warning("database_recovered")
        return True

    async def _synchronise(self) -> bool:
        """Publish all that is committed after the hub's head; tells whether the hub is as far as the log was."""
        hub, before = self._hub, self._hub.cursor
        begun = time.perf_counter()
        position = await self._log.position()
        self.latency_ms = round((time.perf_counter() - begun) * 1000, 2)
        self._committed, self.floor = position.at(position.head), position.floor
        if position.epoch != hub.epoch or (position.head < before.seq and hub.cursor == before):
            hub.rebase(position)
        await self._wait_for_tail(position.head)
        while hub.head < position.head:
            here = hub.cursor
            try:
                page = await self._log.read(here, position.head, EventFilter(), _PAGE)
            except CursorExpired:
                if hub.cursor == here:
                    hub.rebase(position)
                continue
            if not page:
                # The log was replaced since its position was read: the next look sees which it is now.
                return False
            if hub.cursor == here:
                self._publish("log", page)
            await asyncio.sleep(0)
        return True

    async def _wait_for_tail(self, head: int) -> None:
        """Let a tail that carries events bring those up to `head`, so that not every process reads each of them."""
        deadline = min(_now() + _OFFER_SECONDS, self._offering_until)
        with suppress(TimeoutError):
            async with asyncio.timeout_at(deadline):
                while self._hub.head < head and _now() < deadline:
                    self._offered.clear()
                    await self._offered.wait()


def _now() -> float:
    return asyncio.get_running_loop().time()
