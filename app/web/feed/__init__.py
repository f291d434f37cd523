"""`/ws/streams` and `/sse/streams`: the feed as its clients get it."""
