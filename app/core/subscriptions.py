"""The feed as its transports use it: open a subscription, count them, close them all."""

import asyncio
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from app.core.filter import Wanted
from app.core.history import History
from app.core.hub import Hub
from app.core.messages import Close
from app.core.outages import Outages
from app.core.ports import EventLog
from app.core.slices import in_slices
from app.core.subscription import Subscription

SERVICE_RESTART: Final = 1012
RESTART: Final = "service restart"


def jittered(retry_ms: int) -> int:
    """Return a time to come back, in milliseconds: from `retry_ms` to three times that."""
    return random.randint(retry_ms, 3 * retry_ms)  # noqa: S311 - spreads reconnects, guards nothing


class Feed:
    """Gives out subscriptions to one hub and one log."""

    def __init__(
        self,
        hub: Hub,
        log: EventLog,
        outages: Outages,
        *,
        look_soon: Callable[[], None],
        replay_concurrency: int,
        retry_ms: int = 1000,
    ) -> None:
        """`look_soon`: the relay's. `replay_concurrency` caps how many replays read the database at once in a storm.

        `retry_ms`: clients are told to come back after 1 to 3 of it, in milliseconds.
        """
        self._hub = hub
        self._retry_ms = retry_ms
        self._history = History(hub, log, look=look_soon, concurrency=replay_concurrency)
        self._outages = outages
        self._open: set[Subscription] = set()
        self.closed = asyncio.Event()

    @property
    def closing(self) -> bool:
        """Whether the service shuts down: the one place that knows."""
        return self.closed.is_set()

    @contextmanager
    def subscribe(self, wanted: Wanted, cursor: str | None, **options: bool) -> Iterator[Subscription]:
        """Open a subscription, and forget it afterwards; `options` as for `open`."""
        subscription = self.open(wanted, cursor, **options)
        try:
            yield subscription
        finally:
            self.forget(subscription)

    def open(self, wanted: Wanted, cursor: str | None, *, greeting: bool = False, live: bool = True) -> Subscription:
        """Open a subscription at `cursor`, or at the head; it learns at once of what is out of order.

        `greeting`: it says first where it is. Without `live` it gets events only after it has subscribed.
        """
        subscription = Subscription(self._history, wanted)
        if cursor is not None:
            subscription.start(cursor)
        if not live:
            subscription.hold()
        if greeting:
            subscription.greet()
        for outage in self._outages:
            subscription.say(outage.message)
        self._hub.subscriptions.add(subscription)
        self._open.add(subscription)
        if self.closing:
            subscription.close(self._farewell())
        return subscription

    def forget(self, subscription: Subscription) -> None:
        """Give nothing more to a subscription."""
        self._hub.subscriptions.discard(subscription)
        self._open.discard(subscription)
        subscription.leave()

    async def close(self) -> None:
        """Tell every client that the service restarts, each with a time of its own to come back.

        Who opens a feed from now on is told at once, and gets no events.
        """
        self.closed.set()
        async for subscription in in_slices(self._open):
            subscription.close(self._farewell(), catch_up=True)

    def _farewell(self) -> Close:
        retry = jittered(self._retry_ms)
        return Close(SERVICE_RESTART, f"{RESTART}; retry in {retry} ms", retry)
