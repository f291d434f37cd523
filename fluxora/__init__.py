"""What a client of the feed imports: `from fluxora import StreamFeed`."""

from app.client import FeedRefused, FeedReset, StreamFeed, SyncStreamFeed

__all__ = ["FeedRefused", "FeedReset", "StreamFeed", "SyncStreamFeed"]
