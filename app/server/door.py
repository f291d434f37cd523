"""Connections that carry no feed: how many there may be."""

import time
from typing import Final, Protocol

import structlog

_TELL_SECONDS: Final = 60.0
_logger = structlog.stdlib.get_logger(__name__)


class RequestLimits(Protocol):
    """How long, in seconds, a connection that carries no feed may keep us waiting, and how many there may be."""

    request_timeout: float
    write_timeout: float
    max_request_connections: int


class Visitor(Protocol):
    """Such a connection."""

    @property
    def waits(self) -> bool:
        """Whether it has asked for nothing yet, or not in full."""

    def turn_out(self) -> None:
        """End it."""


class Door:
    """Counts them. One more than may be takes the place of the one that has waited longest.

    So who opens connections and says nothing keeps nobody else out.
    """

    def __init__(self, limits: RequestLimits) -> None:
        """Begin with none."""
        self.limits = limits
        self._inside: dict[Visitor, None] = {}
        self._told_at = -_TELL_SECONDS

    def __len__(self) -> int:
        """How many there are."""
        return len(self._inside)

    def enter(self, visitor: Visitor) -> bool:
        """Let one in; False when all the others are being served."""
        if len(self._inside) >= self.limits.max_request_connections:
            self._tell()
            longest = next((each for each in self._inside if each.waits), None)
            if longest is None:
                return False
            self.leave(longest)
            longest.turn_out()
        self._inside[visitor] = None
        return True

    def renew(self, visitor: Visitor) -> None:
        """Note that one was served, and waits from now on."""
        if visitor in self._inside:
            del self._inside[visitor]
            self._inside[visitor] = None

    def leave(self, visitor: Visitor) -> None:
        """Count one no more."""
        self._inside.pop(visitor, None)

    def _tell(self) -> None:
        now = time.monotonic()
        if now - self._told_at >= _TELL_SECONDS:
            self._told_at = now
            _logger.warning("request_connections_full", connections=len(self), hint="MAX_REQUEST_CONNECTIONS")
