"""SCVal, the contract's values, from base64 XDR: what an event can hold, and nothing else."""

import binascii
import re
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Final, NamedTuple

from app.chain import strkey
from app.chain.strkey import Version
from app.chain.xdr import Reader, Undecodable

MAX_TEXT: Final = 64 * 1024
"""Base64 characters: the network allows 16 KiB of events in a whole transaction."""
MAX_DEPTH: Final = 16
"""Vectors and maps in one another: no event of the contract has more than two."""
_SHORT = 128
_LEAST = 4
_SYMBOL = re.compile(rb"[A-Za-z0-9_]{0,32}")


class Value(NamedTuple):
    """A value and its type's name.

    `content` by `type`: void None; bool bool; u32, i32, u64, i64, timepoint, duration, u128, i128, u256, i256 int;
    bytes and string bytes (a string need not be UTF-8); symbol and address str; vec a tuple of values;
    map a tuple of (key, value) pairs, no key twice.
    """

    type: str
    content: Any


def decode(text: str) -> Value:
    """Return the value of base64 XDR. Raises Undecodable, whatever the text."""
    if len(text) > MAX_TEXT:
        raise Undecodable(f"longer than {MAX_TEXT} characters")
    return _decode_short(text) if len(text) <= _SHORT else _decode(text)


def _decode(text: str) -> Value:
    try:
        data = b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise Undecodable("no base64") from error
    if b64encode(data) != text.encode("ascii"):  # two spellings of the same bytes: the unused bits must be zero
        raise Undecodable("base64 in another form than the usual")
    reader = Reader(data)
    value = take(reader)
    reader.end()
    return value


_decode_short = lru_cache(maxsize=8192)(_decode)
"""The topics: names of events, addresses and streams that come again and again."""


def take(reader: Reader) -> Value:
    """Take a value. Raises Undecodable."""
    return _value(reader, 0)


def take_address(reader: Reader) -> str:
    """Take an address. Raises Undecodable."""
    return _address(reader)


def _value(reader: Reader, depth: int) -> Value:
    if depth > MAX_DEPTH:
        raise Undecodable(f"deeper than {MAX_DEPTH} levels")
    tag = reader.u32()
    if tag == _NAME:
        return _symbol(reader.opaque(32))
    if plain := _PLAIN.get(tag):
        name, take = plain
        return Value(name, take(reader))
    if tag == _VEC:
        return Value("vec", _vec(reader, depth + 1))
    if tag == _MAP:
        return Value("map", _map(reader, depth + 1))
    raise Undecodable(f"a value of type {tag}, which no event holds")


def _vec(reader: Reader, depth: int) -> tuple[Value, ...]:
    _present(reader)
    return tuple([_value(reader, depth) for _ in range(reader.count(_LEAST))])


def _map(reader: Reader, depth: int) -> tuple[tuple[Value, Value], ...]:
    _present(reader)
    pairs = tuple([(_value(reader, depth), _value(reader, depth)) for _ in range(reader.count(2 * _LEAST))])
    if len({key for key, _ in pairs}) != len(pairs):
        raise Undecodable("a map with one key twice")
    return pairs


def _present(reader: Reader) -> None:
    if not reader.flag():  # XDR allows it, the ledger does not
        raise Undecodable("a vector or map without its elements")


def _bytes(reader: Reader) -> bytes:
    return reader.opaque(MAX_TEXT)


@lru_cache(maxsize=1024)  # the names of fields, three in an event
def _symbol(name: bytes) -> Value:
    if not _SYMBOL.fullmatch(name):
        raise Undecodable("a symbol of other characters than letters, digits and _")
    return Value("symbol", name.decode("ascii"))


def _address(reader: Reader) -> str:
    kind = reader.u32()
    if kind not in _ADDRESS:
        raise Undecodable(f"an address of type {kind}")
    return _ADDRESS[kind](reader)


def _account(reader: Reader) -> str:
    if reader.u32() != 0:
        raise Undecodable("a key that is not ed25519")
    return strkey.encode(Version.ACCOUNT, reader.fixed(32))


def _muxed(reader: Reader) -> str:
    number = reader.fixed(8)  # before the key in XDR, after it in StrKey
    return strkey.encode(Version.MUXED, reader.fixed(32) + number)


def _claimable_balance(reader: Reader) -> str:
    if reader.u32() != 0:
        raise Undecodable("a claimable balance that is not of version 0")
    return strkey.encode(Version.CLAIMABLE_BALANCE, bytes(1) + reader.fixed(32))


_ADDRESS: Final[Mapping[int, Callable[[Reader], str]]] = {
    0: _account,
    1: lambda reader: strkey.encode(Version.CONTRACT, reader.fixed(32)),
    2: _muxed,
    3: _claimable_balance,
    4: lambda reader: strkey.encode(Version.LIQUIDITY_POOL, reader.fixed(32)),
}
_NAME, _VEC, _MAP = 15, 16, 17
_PLAIN: Final[Mapping[int, tuple[str, Callable[[Reader], Any]]]] = {
    0: ("bool", Reader.flag),
    1: ("void", lambda _: None),
    3: ("u32", Reader.u32),
    4: ("i32", Reader.i32),
    5: ("u64", Reader.u64),
    6: ("i64", Reader.i64),
    7: ("timepoint", Reader.u64),
    8: ("duration", Reader.u64),
    9: ("u128", lambda reader: int.from_bytes(reader.fixed(16), "big")),
    10: ("i128", lambda reader: int.from_bytes(reader.fixed(16), "big", signed=True)),
    11: ("u256", lambda reader: int.from_bytes(reader.fixed(32), "big")),
    12: ("i256", lambda reader: int.from_bytes(reader.fixed(32), "big", signed=True)),
    13: ("bytes", _bytes),
    14: ("string", _bytes),
    18: ("address", _address),
}
