"""SCVal from the JSON that Stellar RPC gives with `xdrFormat: "json"`.

Base64 is the stable form: this one has changed between versions, and both are read.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from app.chain.scval import MAX_DEPTH, MAX_TEXT, Value
from app.chain.xdr import Undecodable
from app.core.addresses import is_address

_WIDTH: Final = {
    "u32": (0, 32),
    "i32": (1, 32),
    "u64": (0, 64),
    "i64": (1, 64),
    "timepoint": (0, 64),
    "duration": (0, 64),
    "u128": (0, 128),
    "i128": (1, 128),
    "u256": (0, 256),
    "i256": (1, 256),
}
_SYMBOL_SIZE: Final = 32
_ESCAPE: Final = re.compile(rb"\\(x[0-9a-f]{2}|[0tnr\\])")
_ESCAPED: Final = {b"0": b"\0", b"t": b"\t", b"n": b"\n", b"r": b"\r", b"\\": b"\\"}


def decode(value: Any, depth: int = 0) -> Value:
    """Return the value of `"void"` or `{"<type>": ...}`. Raises Undecodable, whatever it is given."""
    if depth > MAX_DEPTH:
        raise Undecodable(f"deeper than {MAX_DEPTH} levels")
    if value == "void":
        return Value("void", None)
    if not isinstance(value, dict) or len(value) != 1:
        raise Undecodable("an object of one member, the type, expected")
    ((kind, content),) = value.items()
    if kind in _WIDTH:
        return Value(kind, _number(kind, content))
    if kind == "vec":
        return Value(kind, tuple(decode(each, depth + 1) for each in _list(content)))
    if kind == "map":
        return Value(kind, _map(content, depth + 1))
    if kind not in _PLAIN:
        raise Undecodable(f"a value of type {kind}, which no event holds")
    return Value(kind, _PLAIN[kind](content))


def _number(kind: str, content: Any) -> int:
    signed, bits = _WIDTH[kind]
    if isinstance(content, dict) and kind in {"i128", "u128"}:  # before protocol 22
        high, low = content.get("hi"), content.get("lo")
        content = (_integer(high) << 64) + _integer(low)
    number = _integer(content)
    low = -(1 << bits - 1) if signed else 0
    if not low <= number < low + (1 << bits):
        raise Undecodable(f"out of the range of {kind}")
    return number


def _integer(content: Any) -> int:
    if isinstance(content, bool) or not isinstance(content, int | str):
        raise Undecodable("an integer expected")
    if isinstance(content, str):
        digits = content.removeprefix("-")
        if not (digits.isascii() and digits.isdigit()) or len(digits) > 78:  # noqa: PLR2004 - of 2^256
            raise Undecodable("an integer expected")
    return int(content)


def _list(content: Any) -> list[Any]:
    if not isinstance(content, list):
        raise Undecodable("a list expected")
    return content


def _map(content: Any, depth: int) -> tuple[tuple[Value, Value], ...]:
    pairs = []
    for entry in _list(content):
        if not isinstance(entry, dict) or not {"key", "val"} <= entry.keys():
            raise Undecodable("entries of key and val expected")
        pairs.append((decode(entry["key"], depth), decode(entry["val"], depth)))
    if len({key for key, _ in pairs}) != len(pairs):
        raise Undecodable("a map with one key twice")
    return tuple(pairs)


def _text(content: Any) -> str:
    if not isinstance(content, str) or len(content) > MAX_TEXT:
        raise Undecodable(f"a string of at most {MAX_TEXT} characters expected")
    return content


def _bool(content: Any) -> bool:
    if not isinstance(content, bool):
        raise Undecodable("true or false expected")
    return content


def _bytes(content: Any) -> bytes:
    try:
        return bytes.fromhex(_text(content))
    except ValueError as error:
        raise Undecodable("hexadecimal digits expected") from error


def _string(content: Any) -> bytes:
    """Take off the escapes with which RPC writes what is not printable ASCII."""
    raw = _text(content).encode("utf-8", "replace")
    return _ESCAPE.sub(lambda found: _ESCAPED.get(found[1]) or bytes.fromhex(found[1][1:].decode("ascii")), raw)


def _symbol(content: Any) -> str:
    text = _text(content)
    if (
        len(text) > _SYMBOL_SIZE
        or not text.replace("_", "a").isascii()
        or not (text.replace("_", "a") or "a").isalnum()
    ):
        raise Undecodable("a symbol expected")
    return text


def _address(content: Any) -> str:
    text = _text(content)
    if not is_address(text):
        raise Undecodable("an address G... or C... expected")
    return text


_PLAIN: Final[Mapping[str, Callable[[Any], Any]]] = {
    "bool": _bool,
    "bytes": _bytes,
    "string": _string,
    "symbol": _symbol,
    "address": _address,
}
