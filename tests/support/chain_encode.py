"""Facts as Stellar RPC gives them: the way back from `app.chain`, made with the Stellar SDK."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from stellar_sdk import scval

from app.chain.catalogue import SHAPES, Struct, Variant
from app.chain.fields import types_of
from app.core.contract.notices import TokenMoved
from app.core.contract.seen import Seen

MAKE: dict[str, Callable[[Any], Any]] = {
    "bool": scval.to_bool,
    "u32": scval.to_uint32,
    "u64": scval.to_uint64,
    "i128": scval.to_int128,
    "address": scval.to_address,
    "string": scval.to_string,
    "bytes": lambda value: scval.to_bytes(bytes.fromhex(value)),
    "hash": lambda value: scval.to_bytes(bytes.fromhex(value)),
    "metadata": lambda pairs: scval.to_map({MAKE["bytes"](key): MAKE["bytes"](value) for key, value in pairs}),
}
TOPICS = {shapes[0].fact: topic for topic, shapes in SHAPES.items()}


def of(kind: str, value: Any) -> Any:
    return scval.to_void() if value is None else MAKE[kind.rstrip("?")](value)


def encoded(fact: Any, somebody: str) -> tuple[list[str], str]:
    """Topics and value of a fact in today's shape; a token's transfer goes to `somebody`."""
    if isinstance(fact, TokenMoved):
        topics = [scval.to_symbol("transfer"), *map(scval.to_address, (fact.source, somebody)), scval.to_string("USDC")]
        return [each.to_xdr() for each in topics], scval.to_int128(fact.amount).to_xdr()
    topic = TOPICS[type(fact)]
    shape, types = SHAPES[topic][0], types_of(type(fact))
    values = {name: of(kind, getattr(fact, name)) for name, kind in types.items()}
    topics = [scval.to_symbol(topic), *(values[name] for name in shape.topics)]
    match shape.data:
        case Struct(renamed):
            inside = {name for name in types if name not in shape.topics or types[name] == "u64"}
            named = sorted((renamed.get(name, name), values[name]) for name in inside)
            data = scval.to_map({scval.to_symbol(name): value for name, value in named})
        case Variant(name):
            data = scval.to_vec([scval.to_symbol(name), values["stream_id"]])
        case _:
            data = scval.to_vec([value for name, value in values.items() if name not in shape.topics])
    return [each.to_xdr() for each in topics], data.to_xdr()


def raw_of(seen: Seen, somebody: str) -> dict[str, Any]:
    """An understood event as the item of `getEvents` that it came of."""
    topic, value = encoded(seen.fact, somebody)
    closed = datetime.fromtimestamp(seen.place.closed_at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "type": "contract",
        "ledger": seen.place.ledger,
        "ledgerClosedAt": closed,
        "contractId": seen.contract_id,
        "id": seen.place.id,
        "txHash": seen.place.transaction_hash,
        "topic": topic,
        "value": value,
    }
