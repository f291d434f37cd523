"""WebSocket close codes (RFC 6455, 7.4.1)."""

from typing import Final

from app.core.subscriptions import SERVICE_RESTART

GOING_AWAY: Final = 1001

POLICY_VIOLATION: Final = 1008

UNSUPPORTED_DATA: Final = 1003

MESSAGE_TOO_BIG: Final = 1009

INTERNAL_ERROR: Final = 1011

BAD_GATEWAY: Final = 1014
"""Registered after the RFC (https://www.iana.org/assignments/websocket), and not known to wsproto."""

DISMISSED: Final = 4001
"""The credential is bad, revoked or another's, or an administrator ended the connection: do not come back with it."""

EXPIRED: Final = 4003
"""The credential is over: renew it, and come back with the cursor."""

_ENDED_BY: Final = {
    1000: "client left",
    1002: "protocol error",
    1007: "protocol error",
    UNSUPPORTED_DATA: "unsupported data",
    POLICY_VIOLATION: "policy",
    MESSAGE_TOO_BIG: "message too big",
    INTERNAL_ERROR: "internal error",
    SERVICE_RESTART: "service restart",
    DISMISSED: "dismissed",
    EXPIRED: "credential expired",
}


def ended_by(code: int) -> tuple[str, str]:
    """Return why a feed ended and with which code, for counting: few values, whatever code a client made up."""
    return (_ENDED_BY[code], str(code)) if code in _ENDED_BY else ("client left", "")
