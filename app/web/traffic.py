"""What came and went over HTTP and on the feeds, counted and timed: Prometheus reads it off when it asks."""

from collections import Counter
from typing import Final

from prometheus_client import Histogram

_REQUEST_SECONDS: Final = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10)


class Traffic:
    """Counts of one process since it started.

    `opened`: feed connections by transport. `closed`: by transport, why, and the WebSocket close code that we sent.
    `bytes`: sent on feed connections that are closed, by transport. `requests`: answers' times, by method, route (as it
    is written in the code, so there are few) and status.
    """

    def __init__(self) -> None:
        """Start at nothing."""
        self.opened: Counter[str] = Counter(websocket=0, sse=0)
        self.closed: Counter[tuple[str, str, str]] = Counter()
        self.bytes: Counter[str] = Counter(websocket=0, sse=0)
        self.requests = Histogram(
            "fluxora_http_request_seconds",
            "HTTP requests except for the feeds, by route",
            ["method", "route", "status"],
            registry=None,
            buckets=_REQUEST_SECONDS,
        )
