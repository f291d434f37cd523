"""The Python client. It needs nothing of the service's packages."""

from app.client.errors import FeedRefused, FeedReset
from app.client.feed import StreamFeed
from app.client.sync_feed import SyncStreamFeed

__all__ = ["FeedRefused", "FeedReset", "StreamFeed", "SyncStreamFeed"]
