"""What the chain's tests share: the recorded scripts, and their events as `getEvents` gives them."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from app.chain.item import Ignored, parse, read
from app.core.accrual import Kind, accrued, claimable, withdrawable
from app.core.contract.parked import Parked
from app.core.contract.place import Hint
from app.core.contract.seen import Seen
from app.core.contract.state import ContractState
from app.core.contract.stream import ChainStream

DATA = Path(__file__).resolve().parent.parent / "data" / "chain"


@cache
def load(name: str) -> Any:
    return json.loads((DATA / f"{name}.json").read_text(encoding="utf-8"))


def event_id(row: Mapping[str, Any]) -> str:
    return f"{row['ledger'] << 32 | row['txIndex'] << 12 | row['opIndex']:019d}-{row['eventIndex']:010d}"


def raw_item(row: Mapping[str, Any]) -> dict[str, Any]:
    """A script's row as an item of `getEvents` (RPC 23 to 28)."""
    return {
        "type": row["type"],
        "ledger": row["ledger"],
        "ledgerClosedAt": datetime.fromtimestamp(row["now"], UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "contractId": row["contract"],
        "id": event_id(row),
        "operationIndex": row["opIndex"],
        "transactionIndex": row["txIndex"],
        "inSuccessfulContractCall": not row.get("failed", False),
        "txHash": row["txHash"],
        "topic": row["topic"],
        "value": row.get("broken", row["value"]),
    }


def hint_of(row: Mapping[str, Any]) -> Hint:
    kind = row.get("kind")
    return Hint(row["txHash"], row["function"], Kind(kind) if kind else None, row["eventIndex"])


def contract_of(script: Mapping[str, Any], *, hints: bool) -> ContractState:
    return ContractState(script["contract"], script["decimals"], script["token"] if hints else None)


def read_row(row: Mapping[str, Any], contract: ContractState) -> Seen | Ignored | Parked:
    tokens = frozenset({contract.token} if contract.token else ())
    return read(parse(raw_item(row)), {contract.contract_id}, tokens)


def as_expected(stream: ChainStream, at: int | None = None) -> dict[str, Any]:
    """A stream in the words of the expected_*.json, without what we do not keep (depth, withdrawn_by)."""
    first = stream.readings[0]
    out = {
        "id": str(stream.number), "sender": stream.sender, "recipient": stream.recipient,
        "deposit": str(stream.deposit), "rate": str(stream.rate), "start": stream.start, "cliff": stream.cliff,
        "end": stream.end, "dust": str(stream.dust), "memo": stream.memo,
        "metadata": None if stream.metadata is None else dict(stream.metadata), "kind": str(first.kind),
        "status": stream.status, "withdrawn": str(stream.withdrawn), "cancelled_at": stream.cancelled_at,
        "checkpoint": str(first.checkpoint), "checkpoint_at": first.checkpoint_at, "claim_owner": stream.claim_owner,
        "decommissioned": stream.decommissioned, "paused_seconds": stream.paused_seconds, "parent": stream.parent,
        "pooled": stream.pooled, "closed": stream.closed_at is not None, "auto_claim": stream.auto_claim,
        "refunded": str(stream.refunded), "keeper_paid": str(stream.keeper_paid), "keeper_fee": str(stream.keeper_fee),
        "relayer_fees": str(stream.relayer_fees), "cloned_from": stream.source, "renewed_from": stream.previous,
        "renewed_to": stream.next, "rate_changed_ledger": stream.rate_changed_ledger, "assumed": list(stream.assumed),
    }  # fmt: skip
    if stream.status == "paused":
        out |= {"paused_at": stream.paused_at, "pause_reason": stream.pause_reason}
    if at is not None:
        holding = stream.holding
        out |= {"accrued": str(accrued(holding, at)), "claimable": str(claimable(holding, at)),
                "withdrawable": str(withdrawable(holding, at))}  # fmt: skip
    return out


def differences(got: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, Any]:
    """What of `wanted` is not so in `got`; some expectations tell but a few members."""
    return {name: (got[name], value) for name, value in wanted.items() if name in got and got[name] != value}
