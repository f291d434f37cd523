"""permessage-deflate (RFC 7692) without context: what is compressed once serves every client, and none costs memory."""

import zlib
from collections.abc import Iterable
from typing import Any, Final

from wsproto.extensions import PerMessageDeflate
from wsproto.frame_protocol import CloseReason

from app.web.feed.handshake import offers_in

ANSWER: Final = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
"""What an offer is answered with. Both sides may demand this of the other, whatever was offered (7.1.1)."""

_FLAGS: Final = frozenset({"server_no_context_takeover", "client_no_context_takeover"})
_WINDOW: Final = "client_max_window_bits"
_WINDOWS: Final = frozenset({"", *map(str, range(8, 16))})
"""Values that it may have, or none (7.1.2.2). An offer with `server_max_window_bits` wants a form of its own."""

_SYNC: Final = b"\x00\x00\xff\xff"
"""Ends what zlib flushes, and is left out (7.2.1)."""

_LEVEL: Final = 6
_compressor = zlib.compressobj(_LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)


def acceptable(offers: Iterable[str]) -> bool:
    """Tell whether one of a client's offers can be answered with `ANSWER`; each is a header, and may hold several.

    What cannot be is declined, and the connection goes without (7.1).
    """
    return any(_feasible(offer) for header in offers for offer in offers_in(header) or ())


def deflate(data: bytes) -> bytes:
    """Compress a message so that it can be read without any before it.

    A full flush forgets what was before; a compressor of its own for each message takes twice as long.
    """
    return (_compressor.compress(data) + _compressor.flush(zlib.Z_FULL_FLUSH)).removesuffix(_SYNC)


class Inflate(PerMessageDeflate):
    """A client's messages, decompressed no further than their limit: 200 KB of zeros are 200 MB otherwise."""

    def __init__(self, most: int) -> None:
        """`most`: bytes of a message. One that is larger ends the connection."""
        super().__init__(client_no_context_takeover=True, server_no_context_takeover=True)
        self._enabled = True
        self._most = most
        self._size = 0

    def frame_inbound_payload_data(self, proto: Any, data: bytes) -> bytes | CloseReason:  # noqa: ARG002 - wsproto's
        """Decompress a piece of a frame."""
        if not self._inbound_compressed or not self._inbound_is_compressible:
            return data
        return self._inflated(data)

    def frame_inbound_complete(
        self,
        proto: Any,  # noqa: ARG002 - wsproto's
        fin: bool,  # noqa: FBT001 - likewise
    ) -> bytes | CloseReason | None:
        """Decompress what a whole message ends with."""
        if not fin:
            return None
        if not self._inbound_is_compressible:
            # A ping may come between the frames of a message; between messages, the next may be compressed or not.
            self._inbound_compressed = None if self._decompressor is None else True
            return None
        rest = self._inflated(_SYNC) if self._inbound_compressed else None
        self._inbound_compressed = self._decompressor = None
        self._size = 0
        return rest

    def _inflated(self, data: bytes) -> bytes | CloseReason:
        assert self._decompressor is not None
        try:
            piece = self._decompressor.decompress(bytes(data), self._most + 1 - self._size)
        except zlib.error:
            return CloseReason.INVALID_FRAME_PAYLOAD_DATA
        self._size += len(piece)
        return CloseReason.MESSAGE_TOO_BIG if self._size > self._most else piece


def _feasible(offer: str) -> bool:
    name, *parameters = (part.strip() for part in offer.split(";"))
    pairs = [[part.strip() for part in parameter.partition("=")[::2]] for parameter in parameters]
    return (
        name == PerMessageDeflate.name
        and len({key for key, _ in pairs}) == len(pairs)
        and all(value.strip('"') in _WINDOWS if key == _WINDOW else key in _FLAGS and not value for key, value in pairs)
    )
