"""How often somebody may ask, and how the answers say so."""

import math
import time
from typing import Final

from limits import RateLimitItem, parse
from limits.storage import MemoryStorage
from limits.strategies import SlidingWindowCounterRateLimiter
from quart import Response, g

from app.core.errors import TooManyRequests

POLICY_NAME: Final = "requests"
"""In the headers of draft-ietf-httpapi-ratelimit-headers-10."""


class Rates:
    """Counts requests of principals and addresses, in this process. Without a rate it counts nothing."""

    def __init__(self, rate: str | None) -> None:
        """`rate`: as in `100/minute`. Raises ValueError."""
        self._rate: RateLimitItem | None = parse(rate) if rate else None
        self._limiter = SlidingWindowCounterRateLimiter(MemoryStorage())
        self.refused = 0

    def take(self, who: str) -> None:
        """Count a request. Raises TooManyRequests."""
        if self._rate is None:
            return
        allowed = self._limiter.hit(self._rate, who)
        stats = self._limiter.get_window_stats(self._rate, who)
        seconds = max(0, math.ceil(stats.reset_time - time.time()))
        g.rate = (stats.remaining, seconds)
        if not allowed:
            self.refused += 1
            message = f"too many requests: {self._rate} are allowed"
            raise TooManyRequests(message, retry_after=max(1, seconds))

    def mark(self, response: Response) -> None:
        """Say in an answer how many requests are left."""
        if self._rate is None or (rate := g.get("rate")) is None:
            return
        remaining, seconds = rate
        window = self._rate.get_expiry()
        response.headers["RateLimit-Policy"] = f'"{POLICY_NAME}";q={self._rate.amount};w={window}'
        response.headers["RateLimit"] = f'"{POLICY_NAME}";r={remaining};t={seconds}'
