"""The product without its edges: the log's rules, the hub and the write path. No Quart, no SQL."""
