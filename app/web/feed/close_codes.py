"""WebSocket close codes (RFC 6455, 7.4.1)."""

from typing import Final

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
