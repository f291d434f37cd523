"""Quart: thin shells around the core."""
