"""Finds a client's close frame among bytes that are not read otherwise."""

from typing import Final

_CLOSE: Final = 0x8
_MASK: Final = 0x80
_EXTENDED: Final = {126: 2, 127: 8}
"""Bytes of the length that follow (RFC 6455, 5.2)."""


class FrameScanner:
    """Steps from frame to frame. `closed`: a close frame was seen, whole."""

    __slots__ = ("_head", "_rest", "_type", "closed")

    def __init__(self) -> None:
        """Start between two frames."""
        self._head = b""
        self._rest = 0
        self._type = 0
        self.closed = False

    def feed(self, data: bytes) -> None:
        """Take bytes, cut anywhere."""
        at = 0
        while at < len(data) and not self.closed:
            if self._rest:
                step = min(self._rest, len(data) - at)
                self._rest -= step
                at += step
            else:
                self._head += data[at : at + 1]
                at += 1
                if not self._begins():
                    continue
            self.closed = not self._rest and self._type == _CLOSE

    def _begins(self) -> bool:
        """Tell whether the head is whole, and step into its payload."""
        head = self._head
        if len(head) < 2:  # noqa: PLR2004 - the shortest head
            return False
        short = head[1] & 0x7F
        extended = _EXTENDED.get(short, 0)
        if len(head) < 2 + extended:
            return False
        size = int.from_bytes(head[2 : 2 + extended], "big") if extended else short
        self._type = head[0] & 0x0F
        self._rest = size + (4 if head[1] & _MASK else 0)
        self._head = b""
        return True
