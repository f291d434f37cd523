"""Fluxora streams: every committed change to a payment stream, to every client, exactly once, in order."""

__version__ = "0.1.0"
