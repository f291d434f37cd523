"""The feed for programs without asyncio."""

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

from app.client.feed import Event, FeedStats, StreamFeed


class SyncStreamFeed:
    """An iterator of events, as `StreamFeed` but in a `for`; its connection lives in a thread of its own.

    So pings are answered while the loop's body works, however long that takes.
    """

    def __init__(self, url: str, **options: Any) -> None:
        """Take what `StreamFeed` takes."""
        self._feed = StreamFeed(url, **options)

    @property
    def cursor(self) -> str | None:
        """What to come back with."""
        return self._feed.cursor

    @property
    def stats(self) -> FeedStats:
        """What happened so far."""
        return self._feed.stats

    def __iter__(self) -> Iterator[Event]:
        """Iterate for ever. Raises FeedRefused, FeedReset."""
        loop = asyncio.new_event_loop()
        thread = threading.Thread(target=loop.run_forever, name="fluxora-feed", daemon=True)
        thread.start()
        events = aiter(self._feed)
        try:
            while True:
                yield asyncio.run_coroutine_threadsafe(_next(events), loop).result()
        finally:
            asyncio.run_coroutine_threadsafe(events.aclose(), loop).result()  # type: ignore[attr-defined]
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.close()


async def _next(events: Any) -> Event:
    event: Event = await anext(events)
    return event
