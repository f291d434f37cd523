"""The ways on which a feed reaches its clients."""

from enum import StrEnum


class Transport(StrEnum):
    """A feed's transport, by the name it has in logs, metrics and counts."""

    WEBSOCKET = "websocket"
    SSE = "sse"
