"""What the feed does, counted, timed and traced: Prometheus reads it off when it asks."""

from collections import Counter
from typing import Final

from prometheus_client import Histogram

from app.core.tracer import Tracer, Untraced

_FEED_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10)
_WRITE_SECONDS: Final = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 30)


class Measures:
    """Counts of one process since it started, and times in seconds. All is touched by the event loop's thread alone.

    `delivered`: events handed to clients' connections, by where they came from (`live`, `ring`, `database`).
    `pages`: pages that clients read to catch up, by the same. `resets`: `feed.reset`, by reason.
    `commit_to_write`: from the commit in this process until the last live client's socket has its bytes.
    `writes`: a write transaction, its commit included. `tracer` follows single writes, if somebody collects that.
    """

    def __init__(self, tracer: Tracer | None = None) -> None:
        """Start at nothing."""
        self.tracer: Tracer = tracer or Untraced()
        # Those that are known beforehand begin at 0: a rate needs a sample before the first event.
        self.delivered: Counter[str] = Counter(live=0, ring=0, database=0)
        self.pages: Counter[str] = Counter(ring=0, database=0)
        self.resets: Counter[str] = Counter(epoch=0, future=0, malformed=0, pruned=0)
        self.commit_to_write = Histogram(
            "fluxora_commit_to_write_seconds",
            "From a commit until the last live client's socket has it",
            registry=None,
            buckets=_FEED_SECONDS,
        )
        self.writes = Histogram(
            "fluxora_write_transaction_seconds",
            "Write transactions, their commit included",
            registry=None,
            buckets=_WRITE_SECONDS,
        )
