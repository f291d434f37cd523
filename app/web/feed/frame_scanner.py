"""Finds a client's close frame among bytes that are not read otherwise."""

from typing import Final

_CLOSE: Final = 0x8
_MASK: Final = 0x80
_MASK_BYTES: Final = 4
_CODE_BYTES: Final = _MASK_BYTES + 2
_EXTENDED: Final = {126: 2, 127: 8}
"""Bytes of the length that follow (RFC 6455, 5.2)."""


class FrameScanner:
    """Steps from frame to frame. `closed`: a close frame was seen, whole; `code`: its code, if it has one."""

    __slots__ = ("_head", "_masked", "_payload", "_rest", "_type", "closed")

    def __init__(self) -> None:
        """Start between two frames."""
        self._head = b""
        self._rest = 0
        self._type = 0
        self._masked = False
        self._payload = b""
        self.closed = False

    @property
    def code(self) -> int | None:
        """The code of the close frame, if one was seen and has one."""
        size = _MASK_BYTES if self._masked else 0
        mask, data = self._payload[:size] or bytes(_MASK_BYTES), self._payload[size : size + 2]
        return (data[0] ^ mask[0]) << 8 | data[1] ^ mask[1] if self.closed and len(data) > 1 else None

    def feed(self, data: bytes) -> None:
        """Take bytes, cut anywhere."""
        at = 0
        while at < len(data) and not self.closed:
            if self._rest:
                step = min(self._rest, len(data) - at)
                if self._type == _CLOSE:
                    self._payload = (self._payload + data[at : at + step])[:_CODE_BYTES]
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
        self._masked = head[1] & _MASK != 0
        self._rest = size + (_MASK_BYTES if self._masked else 0)
        self._head = b""
        return True
