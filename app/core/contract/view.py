"""A chain stream as the members of its JSON object, as docs/wire-contract names them."""

from collections.abc import Mapping
from typing import Any, Final

from app.core.contract.place import Place
from app.core.contract.replacing import SHOWN
from app.core.contract.stream import ChainStream
from app.core.contract.tokens import in_tokens

MAX_TIME: Final = 253_402_300_799
"""The last second of the year 9999, in Unix seconds: a later one is exact in `base` alone."""
_UNTOLD: Final = frozenset({"lastEvent"})
"""It differs after every event, like `version` and `updatedAt`: `changed` does not name it."""


def view(stream: ChainStream) -> Mapping[str, Any]:
    """Return all members of the stream's JSON but `version`, `createdAt` and `updatedAt`, which the store gives."""
    known: Mapping[str, Any] | None = stream.__dict__.get(SHOWN)
    if known is None:  # an event needs it four times
        known = stream.__dict__[SHOWN] = _members(stream)
    return known


def _members(stream: ChainStream) -> dict[str, Any]:
    decimals = stream.decimals or 0
    return {
        "id": stream.id,
        "sender": stream.sender,
        "recipient": stream.recipient,
        "depositAmount": in_tokens(stream.deposit, decimals),
        "streamedAmount": in_tokens(stream.withdrawn + stream.keeper_paid, decimals),
        "remainingAmount": in_tokens(stream.remaining, decimals),
        "ratePerSecond": in_tokens(stream.rate, decimals),
        "startTime": min(stream.start, MAX_TIME),
        "endTime": min(stream.end, MAX_TIME),
        "status": stream.status,
        "contractId": stream.contract_id,
        "transactionHash": stream.born and stream.born.transaction_hash,
        "eventIndex": stream.born and stream.born.index,
        **_chain_members(stream),
    }


def changed(before: ChainStream, after: ChainStream) -> tuple[str, ...]:
    """Return the names of the members that differ, those of `base` as `base.<name>`."""
    old, new = view(before), view(after)
    names = [name for name, value in new.items() if old[name] != value and name not in _UNTOLD]
    if "base" in names:
        names.remove("base")
        names += [f"base.{name}" for name, value in new["base"].items() if old["base"][name] != value]
    return tuple(names)


def _chain_members(stream: ChainStream) -> dict[str, Any]:
    reading = stream.readings[0]
    token = None if stream.decimals is None else {"contractId": stream.token, "decimals": stream.decimals}
    return {
        "chainStreamId": str(stream.number),
        "token": token,
        "kind": str(reading.kind),
        "assumed": list(stream.assumed),
        "base": _base(stream),
        "cliffTime": min(stream.cliff, MAX_TIME),
        "checkpointAt": min(reading.checkpoint_at, MAX_TIME),
        "cancelledAt": stream.cancelled_at,
        "pausedAt": stream.paused_at,
        "pausedSeconds": stream.paused_seconds,
        "closedAt": stream.closed_at,
        "pauseReason": stream.pause_reason,
        "memo": stream.memo,
        "memoText": _memo_text(stream.memo),
        "metadata": None if stream.metadata is None else [list(pair) for pair in stream.metadata],
        "claimOwner": stream.claim_owner,
        "autoClaim": stream.auto_claim,
        "decommissioned": stream.decommissioned,
        "parent": _number(stream.parent),
        "source": _number(stream.source),
        "previous": _number(stream.previous),
        "next": _number(stream.next),
        "pooled": stream.pooled,
        "ledger": stream.born and stream.born.ledger,
        "lastEvent": _place(stream.last) if stream.last.transaction_hash else None,
    }


def _place(place: Place) -> dict[str, Any]:
    return {"ledger": place.ledger, "transactionHash": place.transaction_hash, "eventIndex": place.index}


def _base(stream: ChainStream) -> dict[str, str]:
    reading = stream.readings[0]
    return {
        "deposit": str(stream.deposit),
        "withdrawn": str(stream.withdrawn),
        "ratePerSecond": str(stream.rate),
        "checkpoint": str(reading.checkpoint),
        "refunded": str(stream.refunded),
        "dustThreshold": str(stream.dust),
        "keeperPaid": str(stream.keeper_paid),
        "keeperFee": str(stream.keeper_fee),
        "relayerFees": str(stream.relayer_fees),
        "startTime": str(stream.start),
        "endTime": str(stream.end),
        "cliffTime": str(stream.cliff),
        "checkpointAt": str(reading.checkpoint_at),
    }


def _number(number: int | None) -> str | None:
    return None if number is None else str(number)


def _memo_text(memo: str | None) -> str | None:
    """Return the memo as text, if it is text: UTF-8, and without NUL, which PostgreSQL cannot store."""
    if memo is None or "\0" in (raw := bytes.fromhex(memo)).decode("latin-1"):
        return None
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return None
