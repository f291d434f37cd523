"""One field of a fact from one SCVal, by the type that `app.core.contract.fields` names."""

from collections.abc import Callable, Mapping
from dataclasses import fields
from types import UnionType
from typing import Annotated, Any, Final, get_args, get_origin, get_type_hints

from app.chain.scval import Value
from app.chain.xdr import Undecodable
from app.core.contract.facts import StreamFact
from app.core.contract.notices import Notice

_HASH_SIZE: Final = 32
_TYPES: Final[dict[type, Mapping[str, str]]] = {}
"""What was worked out already: reading annotations is slow, and every event needs them."""


def types_of(fact: type[StreamFact | Notice]) -> Mapping[str, str]:
    """Return the names of a fact's fields, in order, each with its type's name."""
    known = _TYPES.get(fact)
    if known is None:
        known = _TYPES[fact] = _types(fact)
    return known


def field_of(kind: str, value: Value) -> Any:
    """Return what the fact holds for this SCVal. Raises Undecodable: it is of another type."""
    if kind.endswith("?"):
        if value.type == "void":
            return None
        kind = kind[:-1]
    wanted, read = _READ[kind]
    if value.type != wanted:
        raise Undecodable(f"{wanted} expected, {value.type} found")
    return read(value.content)


def _types(fact: type[StreamFact | Notice]) -> Mapping[str, str]:
    hints = get_type_hints(fact, include_extras=True)
    return {field.name: _name(hints[field.name]) for field in fields(fact)}


def _name(hint: Any) -> str:
    if get_origin(hint) is UnionType or get_origin(hint) is not Annotated:  # `Text | None`: older shapes lack it
        hint = next(arm for arm in get_args(hint) if get_origin(arm) is Annotated)
    return str(hint.__metadata__[0])


def _same(content: Any) -> Any:
    return content


def _text(content: bytes) -> str:
    return content.decode("utf-8", "replace").replace("\0", "\ufffd")


def _hash(content: bytes) -> str:
    if len(content) != _HASH_SIZE:
        raise Undecodable(f"{_HASH_SIZE} bytes expected, {len(content)} found")
    return content.hex()


def _party(content: str) -> str:
    if content[0] not in "GC":  # the contract's own type holds accounts and contracts alone
        raise Undecodable(f"an address G... or C... expected, {content[0]}... found")
    return content


def _metadata(content: tuple[tuple[Value, Value], ...]) -> tuple[tuple[str, str], ...]:
    return tuple((field_of("bytes", key), field_of("bytes", value)) for key, value in content)


_READ: Final[Mapping[str, tuple[str, Callable[[Any], Any]]]] = {
    "bool": ("bool", _same),
    "u32": ("u32", _same),
    "u64": ("u64", _same),
    "i128": ("i128", _same),
    "address": ("address", _party),
    "string": ("string", _text),
    "bytes": ("bytes", bytes.hex),
    "hash": ("bytes", _hash),
    "metadata": ("map", _metadata),
}
