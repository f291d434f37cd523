"""Stellar addresses as text: StrKey, SEP-23."""

import binascii
from base64 import b32decode, b32encode
from enum import IntEnum
from functools import lru_cache


class Version(IntEnum):
    """The first byte of each kind of address that an event may hold."""

    __hash__ = int.__hash__  # an enum's own is made of its name, in Python: half of what finding an address takes

    ACCOUNT = 6 << 3
    CONTRACT = 2 << 3
    MUXED = 12 << 3
    CLAIMABLE_BALANCE = 1 << 3
    LIQUIDITY_POOL = 11 << 3


@lru_cache(maxsize=8192)  # the same payers and contracts come again and again
def encode(version: Version, payload: bytes) -> str:
    """Return the address: base32, without padding, of the version, the payload and their CRC16, little-endian."""
    body = bytes([version]) + payload
    return b32encode(body + binascii.crc_hqx(body, 0).to_bytes(2, "little")).decode("ascii").rstrip("=")


def payload(address: str) -> bytes:
    """Return the bytes of an address whose form and checksum were checked before."""
    return b32decode(address + "=" * (-len(address) % 8))[1:-2]
