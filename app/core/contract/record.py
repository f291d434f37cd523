"""A chain stream and a contract's state as JSON for the store: everything comes back as it was."""

from dataclasses import MISSING, fields
from typing import Any, Final

from app.core.accrual import Kind
from app.core.contract.place import Place
from app.core.contract.reading import Reading
from app.core.contract.replacing import SHOWN, made, replace
from app.core.contract.state import ContractState, Pending
from app.core.contract.stream import ChainStream

_WIDE: Final = frozenset({
    "number", "deposit", "rate", "start", "cliff", "end", "dust", "withdrawn", "refunded", "keeper_paid", "keeper_fee",
    "relayer_fees", "parent", "source", "previous", "next",
})  # fmt: skip
"""u64 and i128: they do not fit a JSON number."""
_DEFAULTS: Final = {field.name: field.default for field in fields(ChainStream) if field.default is not MISSING}
"""What a record may lack that an older version wrote."""


def stream_record(stream: ChainStream) -> dict[str, Any]:
    """Return the stream as JSON; only `stream_of` reads it."""
    record: dict[str, Any] = {**stream.__dict__}
    record.pop(SHOWN, None)
    for name in _WIDE:
        if record[name] is not None:
            record[name] = str(record[name])
    record["born"], record["last"] = stream.born and stream.born.to_json(), stream.last.to_json()
    record["readings"] = [[r.kind, str(r.checkpoint), str(r.checkpoint_at)] for r in stream.readings]
    record["metadata"] = None if stream.metadata is None else [list(pair) for pair in stream.metadata]
    return record


def stream_of(record: dict[str, Any]) -> ChainStream:
    """Return the stream that `stream_record` wrote."""
    values = _DEFAULTS | record
    for name in _WIDE:
        if values.get(name) is not None:
            values[name] = int(values[name])
    values["born"] = values["born"] and Place.from_json(values["born"])
    values["last"] = Place.from_json(values["last"])
    values["readings"] = tuple(Reading(Kind(kind), int(amount), int(at)) for kind, amount, at in values["readings"])
    if values["metadata"] is not None:
        values["metadata"] = tuple((key, value) for key, value in values["metadata"])
    return made(ChainStream, values)


def state_record(state: ContractState) -> dict[str, Any]:
    """Return what changes of a contract's state as JSON; what is configured is left out."""
    return {
        "reasons": sorted(state.reasons),
        "pauseReason": state.pause_reason,
        "lastNotice": state.last_notice and state.last_notice.to_json(),
        "upto": state.upto and state.upto.to_json(),
        "pending": _pending_record(state.pending),
    }


def state_of(configured: ContractState, record: dict[str, Any]) -> ContractState:
    """Return the configured contract with the state that `state_record` wrote."""
    place, upto = record["lastNotice"], record["upto"]
    return replace(
        configured,
        reasons=frozenset(record["reasons"]),
        pause_reason=record["pauseReason"],
        last_notice=place and Place.from_json(place),
        upto=upto and Place.from_json(upto),
        pending=_pending_of(record["pending"]),
    )


def _pending_record(pending: Pending | None) -> list[Any] | None:
    if pending is None:
        return None
    auto = None if pending.auto_claim is None else str(pending.auto_claim)
    return [pending.transaction_hash, str(pending.paid_out), auto]


def _pending_of(record: list[Any] | None) -> Pending | None:
    if record is None:
        return None
    digest, paid_out, auto = record
    return Pending(digest, int(paid_out), None if auto is None else int(auto))
