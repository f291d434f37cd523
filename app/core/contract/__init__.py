"""The streaming contract as its events tell it: facts, exact streams, and the fold."""
