"""One item of `getEvents`, as Stellar RPC gives it, and what it says."""

import re
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any, Final, NamedTuple

from app.chain import scjson, scval
from app.chain.event import UnknownTopic, fact_of, host_fact_of, move_of
from app.chain.scval import Value
from app.chain.xdr import Undecodable
from app.core.addresses import is_address
from app.core.contract.parked import Parked, Why
from app.core.contract.place import Place
from app.core.contract.seen import Seen

_ID: Final = re.compile(r"([0-9]{19})-([0-9]{10})")
_HASH: Final = re.compile(r"[0-9a-f]{64}")
_MAX_TOPICS: Final = 16
_MAX_ID: Final = 2**63 - 1
_MAX_INDEX: Final = 2**32 - 1


class Item(NamedTuple):
    """An item whose envelope is in order. `key` for idempotency is (place.transaction_hash, place.index)."""

    type: str
    contract_id: str
    place: Place
    failed: bool
    topics: tuple[Any, ...]
    value: Any
    json: bool
    """`topics` and `value` are RPC's JSON of XDR, not base64."""


@dataclass(frozen=True, slots=True)
class Ignored:
    """An item that is not for us, and why."""

    reason: str


def parse(raw: Mapping[str, Any]) -> Item:
    """Return the item. Members that we do not know are left alone: it is Stellar's object, and it grows.

    Raises:
        Undecodable: a member is missing or of another form; the reason names it.

    """
    json = "topic" not in raw and "topicJson" in raw
    topics, value = (raw.get("topicJson"), raw.get("valueJson")) if json else (raw.get("topic"), raw.get("value"))
    if not isinstance(topics, list) or len(topics) > _MAX_TOPICS:
        raise Undecodable(f"topic: a list of at most {_MAX_TOPICS} expected")
    if not json and not all(isinstance(text, str) for text in (*topics, value)):
        raise Undecodable("topic, value: base64 expected")
    contract_id = _text(raw, "contractId")
    if not is_address(contract_id, "C"):
        raise Undecodable("contractId: an address C... expected")
    kind = _text(raw, "type")
    if kind not in {"contract", "system"}:
        raise Undecodable("type: contract or system expected")
    failed = raw.get("inSuccessfulContractCall", True) is False  # RPC v30 has no such member, nor failed calls' events
    return Item(kind, contract_id, _place(raw), failed, tuple(topics), value, json)


def read(item: Item, contracts: AbstractSet[str], tokens: AbstractSet[str] = frozenset()) -> Seen | Ignored | Parked:
    """Return what an item says, by the contract that published it. Never raises.

    `contracts` are the streaming contracts that we read, `tokens` the tokens that they pay with.
    """
    if item.failed:
        return Ignored("the call failed")
    ours = item.contract_id in contracts
    if not ours and item.contract_id not in tokens:
        return Ignored("a contract that is not configured")
    try:
        topics, value = _values(item)
        if ours:
            fact = host_fact_of(topics) if item.type == "system" else fact_of(topics, value)
            return Seen(item.contract_id, item.place, fact, str(topics[0].content))
        move = move_of(topics, value)
    except UnknownTopic as error:
        return Parked(Why.UNKNOWN_TOPIC, str(error))
    except Undecodable as error:  # the token's own: nothing to wait for, and its form is not ours to watch
        return Parked(Why.BROKEN, str(error)) if ours else Ignored(str(error))
    return (
        Ignored("an event of the token that moves nothing")
        if move is None
        else Seen(item.contract_id, item.place, move, str(topics[0].content))
    )


def _values(item: Item) -> tuple[Sequence[Value], Value]:
    decode = scjson.decode if item.json else scval.decode
    topics: list[Value] = []
    for number, text in enumerate(item.topics):
        try:
            topics.append(decode(text))
        except Undecodable as error:
            raise Undecodable(f"topic {number}: {error}") from error
    try:
        return topics, decode(item.value)
    except Undecodable as error:
        raise Undecodable(f"value: {error}") from error


def _place(raw: Mapping[str, Any]) -> Place:
    found = _ID.fullmatch(_text(raw, "id"))
    toid, index = (int(found[1]), int(found[2])) if found else (-1, -1)
    if not 0 <= toid <= _MAX_ID or index > _MAX_INDEX:
        raise Undecodable("id: 19 digits, a dash and 10 digits expected")
    digest = _text(raw, "txHash")
    if not _HASH.fullmatch(digest):
        raise Undecodable("txHash: 64 hexadecimal digits, in lower case, expected")
    ledger = toid >> 32
    if raw.get("ledger", ledger) != ledger:
        raise Undecodable("ledger: it is not the one that id names")
    return Place(ledger, toid >> 12 & 0xFFFFF, toid & 0xFFF, index, _closed_at(_text(raw, "ledgerClosedAt")), digest)


@lru_cache(maxsize=1024)  # a ledger's events have one time
def _closed_at(text: str) -> int:
    try:
        when = datetime.fromisoformat(text)
    except ValueError as error:
        raise Undecodable("ledgerClosedAt: an ISO 8601 time expected") from error
    if when.tzinfo is None:
        raise Undecodable("ledgerClosedAt: a time with its zone expected")
    return int(when.timestamp())


def _text(raw: Mapping[str, Any], name: str) -> str:
    value = raw.get(name)
    if not isinstance(value, str):
        raise Undecodable(f"{name}: a string expected")
    return value
