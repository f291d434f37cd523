"""Requests that are refused for who asks or how much: one line in the log a minute for each kind, not a thousand."""

import asyncio
from collections import Counter
from http import HTTPStatus
from typing import Final

import structlog

_EVERY_SECONDS: Final = 60.0
_KINDS: Final = frozenset(
    {
        HTTPStatus.UNAUTHORIZED,
        HTTPStatus.FORBIDDEN,
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        HTTPStatus.MISDIRECTED_REQUEST,
        HTTPStatus.TOO_MANY_REQUESTS,
        HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
    }
)
_logger = structlog.stdlib.get_logger(__name__)


class Refusals:
    """Counts refusals by status; `/metrics` has them as requests by status, without an end."""

    def __init__(self, *, every: float = _EVERY_SECONDS) -> None:
        """`every`: seconds between two summaries."""
        self._every = every
        self._counts: Counter[int] = Counter()

    def hides(self, status: int) -> bool:
        """Count an answer; tell whether a line of its own would be one too many: the first of its kind has one."""
        if status not in _KINDS:
            return False
        self._counts[status] += 1
        return self._counts[status] > 1

    def summarise(self) -> None:
        """Say how many there were since the last time, and begin anew."""
        hidden = {str(status): count for status, count in sorted(self._counts.items()) if count > 1}
        self._counts.clear()
        if hidden:
            _logger.warning("requests_refused", counts=hidden, seconds=self._every)

    async def run(self) -> None:
        """Do so again and again until cancelled, and then once more."""
        try:
            while True:
                await asyncio.sleep(self._every)
                self.summarise()
        finally:
            self.summarise()
