"""The streaming contract as its events tell it: facts, the exact state of its streams, and the fold."""
