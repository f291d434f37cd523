"""The feed as its transports use it: open a subscription, count them, close them all."""

import asyncio
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from app.core.filter import EventFilter
from app.core.hub import Hub
from app.core.messages import Close
from app.core.outages import Outages
from app.core.ports import EventLog
from app.core.subscription import Subscription

SERVICE_RESTART: Final = 1012
_SLICE: Final = 100
"""Subscriptions that are told to close in one loop iteration."""


def jittered(retry_ms: int) -> int:
    """Return a time to come back, in milliseconds: from `retry_ms` to three times that."""
    return random.randint(retry_ms, 3 * retry_ms)  # noqa: S311 - spreads reconnects, guards nothing


class Feed:
    """Gives out subscriptions to one hub and one log."""

    def __init__(
        self, hub: Hub, log: EventLog, outages: Outages, *, nudge: Callable[[], None], replay_concurrency: int
    ) -> None:
        """`nudge`: the relay's. `replay_concurrency` caps how many replays read the database at once in a storm."""
        self._hub = hub
        self._log = log
        self._outages = outages
        self._nudge = nudge
        self._replays = asyncio.Semaphore(replay_concurrency)

    @contextmanager
    def subscribe(self, wanted: EventFilter, cursor: str | None) -> Iterator[Subscription]:
        """Open a subscription, and forget it afterwards."""
        subscription = self.open(wanted, cursor)
        try:
            yield subscription
        finally:
            self.forget(subscription)

    def open(self, wanted: EventFilter, cursor: str | None) -> Subscription:
        """Open a subscription at `cursor`, or at the head; it learns at once of what is out of order."""
        subscription = Subscription(self._hub, self._log, self._replays, wanted, self._nudge)
        if cursor is not None:
            subscription.start(cursor)
        for outage in self._outages:
            subscription.say(outage.message)
        self._hub.subscriptions.add(subscription)
        return subscription

    def forget(self, subscription: Subscription) -> None:
        """Give nothing more to a subscription."""
        self._hub.subscriptions.discard(subscription)
        subscription.leave()

    async def close(self, *, retry_ms: int) -> None:
        """Tell every client that the service restarts, each with a time of its own to come back: 1 to 3 `retry_ms`."""
        for count, subscription in enumerate(list(self._hub.subscriptions), start=1):
            retry = jittered(retry_ms)
            close = Close(SERVICE_RESTART, f"service restart; retry in {retry} ms", retry)
            subscription.close(close, catch_up=True)
            if count % _SLICE == 0:
                await asyncio.sleep(0)
