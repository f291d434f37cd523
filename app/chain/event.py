"""An event's topics and data as one of the contract's facts."""

from collections.abc import Sequence
from typing import Any, Final

from app.chain.catalogue import SHAPES, Fact, Row, Shape, Single, Struct, Variant
from app.chain.fields import field_of, types_of
from app.chain.scval import Value
from app.chain.xdr import Undecodable
from app.core.contract.notices import ExecutableUpdated, TokenMoved

_MOVES: Final = {"transfer": 4, "burn": 3}
"""The token's events that take from their first address, and how many topics they have at least, less the asset's."""


class UnknownTopic(Undecodable):
    """A topic that the contract, as far as we know it, does not have."""


def topic_of(topics: Sequence[Value]) -> str:
    """Return the topic's name, its first symbol. Raises Undecodable."""
    if not topics:
        raise Undecodable("no topics at all")
    if topics[0].type != "symbol":
        raise Undecodable(f"the first topic is a {topics[0].type}, not a symbol")
    return str(topics[0].content)


def fact_of(topics: Sequence[Value], data: Value) -> Fact:
    """Return what an event of the streaming contract says.

    Raises:
        UnknownTopic: no such topic.
        Undecodable: the topic has none of the shapes that it may have; the reasons stand in the order of these.

    """
    name = topic_of(topics)
    if name not in SHAPES:
        raise UnknownTopic(f"unknown topic {name}")
    reasons = []
    for shape in SHAPES[name]:
        try:
            return _shaped(shape, topics, data)
        except Undecodable as error:
            reasons.append(str(error))
    raise Undecodable(f"{name}: {'; or '.join(dict.fromkeys(reasons))}")


def host_fact_of(topics: Sequence[Value]) -> ExecutableUpdated:
    """Return what a system event says. Raises UnknownTopic, Undecodable."""
    name = topic_of(topics)
    if name != "executable_update":
        raise UnknownTopic(f"unknown system event {name}")
    return ExecutableUpdated()


def move_of(topics: Sequence[Value], data: Value) -> TokenMoved | None:
    """Return what an event of the token took from an account; None: nothing. Raises Undecodable.

    CAP-67: an i128, or a map with `amount` beside the receiver's muxed id.
    """
    if topic_of(topics) not in _MOVES:
        return None
    if len(topics) < _MOVES[topic_of(topics)] - 1:
        raise Undecodable("a transfer without its addresses")
    if data.type == "map":
        data = _entries(data).get("amount", data)
    return TokenMoved(field_of("address", topics[1]), field_of("i128", data))


def _shaped(shape: Shape, topics: Sequence[Value], data: Value) -> Fact:
    if len(topics) != 1 + len(shape.topics):
        raise Undecodable(f"{1 + len(shape.topics)} topics expected, {len(topics)} found")
    types = types_of(shape.fact)
    named = {name: field_of(types[name], topic) for name, topic in zip(shape.topics, topics[1:], strict=True)}
    match shape.data:
        case Struct() as struct:
            return shape.fact(**_struct(struct, types, named, data))
        case Variant(name):
            return shape.fact(**_agreed(named, "stream_id", _variant(name, data)))
        case Row():
            rest = [name for name in types if name not in named]
            return shape.fact(**named, **_row(rest, types, data))
        case Single(kind, name):
            return shape.fact(**named, **_single(kind, name, data))


def _struct(struct: Struct, types: Any, named: dict[str, Any], data: Value) -> dict[str, Any]:
    entries, found = _entries(data), dict(named)
    for name, kind in types.items():
        theirs = struct.renamed.get(name, name)
        if theirs in entries:
            _agreed(found, name, field_of(kind, entries[theirs]))
        elif name in named and kind != "u64":  # ids stand in the topics and in the data, an administrator only there
            continue
        elif not kind.endswith("?") and name not in struct.newer:
            raise Undecodable(f"no field {theirs}")
    return found


def _entries(data: Value) -> dict[str, Value]:
    if data.type != "map":
        raise Undecodable(f"map expected, {data.type} found")
    if any(key.type != "symbol" for key, _ in data.content):
        raise Undecodable("a map with a key that is not a symbol")
    return {key.content: value for key, value in data.content}


def _variant(name: str, data: Value) -> int:
    items: Sequence[Value] = data.content if data.type == "vec" else ()
    if len(items) != 2 or items[0] != Value("symbol", name):  # noqa: PLR2004 - a name and a number
        raise Undecodable(f"[{name}, id] expected")
    return int(field_of("u64", items[1]))


def _row(names: Sequence[str], types: Any, data: Value) -> dict[str, Any]:
    items: Sequence[Value] = data.content if data.type == "vec" else ()
    if len(items) != len(names):
        raise Undecodable(f"a vector of {len(names)} values expected")
    return {name: field_of(types[name], item) for name, item in zip(names, items, strict=True)}


def _single(kind: str, name: str, data: Value) -> dict[str, Any]:
    if data.type != kind:
        raise Undecodable(f"{kind} expected, {data.type} found")
    return {name: field_of(kind, data)} if name else {}


def _agreed(found: dict[str, Any], name: str, value: Any) -> dict[str, Any]:
    if found.setdefault(name, value) != value:
        raise Undecodable(f"the topics say {found[name]}, the data {value}")
    return found
