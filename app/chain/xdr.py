"""Reading XDR (RFC 4506): big-endian, everything padded with zeros to four bytes."""

from struct import Struct, error
from typing import Final

_U32: Final = Struct(">I")
_I32: Final = Struct(">i")
_U64: Final = Struct(">Q")
_I64: Final = Struct(">q")
_TOO_SHORT: Final = "it ends too early"


class Undecodable(Exception):
    """Bytes that are no value, or not in the one form that the ledger writes. `str()` is the reason."""


class Reader:
    """A place in some bytes. Each method takes one item from there, or raises Undecodable."""

    __slots__ = ("_at", "_data", "_size")

    def __init__(self, data: bytes) -> None:
        self._data, self._at, self._size = data, 0, len(data)

    @property
    def left(self) -> int:
        """How many bytes are still to come."""
        return self._size - self._at

    def u32(self) -> int:
        """Take an unsigned 32-bit integer."""
        return self._number(_U32)

    def i32(self) -> int:
        """Take a signed 32-bit integer."""
        return self._number(_I32)

    def u64(self) -> int:
        """Take an unsigned 64-bit integer."""
        return self._number(_U64)

    def i64(self) -> int:
        """Take a signed 64-bit integer."""
        return self._number(_I64)

    def flag(self) -> bool:
        """Take a boolean: 0 or 1, nothing else."""
        value = self.u32()
        if value > 1:
            raise Undecodable("a boolean that is neither 0 nor 1")
        return value == 1

    def fixed(self, size: int) -> bytes:
        """Take so many bytes."""
        start, end = self._at, self._at + size
        if end > self._size:
            raise Undecodable(_TOO_SHORT)
        self._at = end
        return self._data[start:end]

    def opaque(self, limit: int) -> bytes:
        """Take bytes that tell their length, at most `limit`, and their padding."""
        size = self.u32()
        if size > limit:
            raise Undecodable(f"longer than {limit} bytes")
        value = self.fixed(size)
        if size % 4 and any(self.fixed(-size % 4)):
            raise Undecodable("padding that is not zero")
        return value

    def count(self, least: int) -> int:
        """Take the number of elements that follow, of `least` bytes each: no more than there is room for."""
        number = self.u32()
        if number * least > self.left:
            raise Undecodable("more elements than there are bytes for")
        return number

    def end(self) -> None:
        """Make sure that nothing is left."""
        if self.left:
            raise Undecodable("bytes are left over")

    def _number(self, form: Struct) -> int:
        try:
            value: int = form.unpack_from(self._data, self._at)[0]
        except error:
            raise Undecodable(_TOO_SHORT) from None
        self._at += form.size
        return value
