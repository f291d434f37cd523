"""The one form in which the product writes the time."""

from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache

Clock = Callable[[], datetime]


def utc_now() -> datetime:
    """Return the present time, aware, in UTC."""
    return datetime.now(UTC)


@lru_cache(maxsize=32)  # all of a batch happens at one moment, which each of its events names three times
def timestamp(moment: datetime) -> str:
    """Write a moment as ISO 8601 in UTC with milliseconds; such texts sort as the moments do."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def timestamp_of(seconds: float | None) -> str | None:
    """Write Unix seconds so; None: never."""
    return None if seconds is None else timestamp(datetime.fromtimestamp(seconds, UTC))
