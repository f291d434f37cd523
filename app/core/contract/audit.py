"""The contract's own record of a stream, held against what its events told."""

from dataclasses import dataclass, fields
from typing import Any, Final

from app.core.accrual import Kind
from app.core.contract.birth import likely_readings
from app.core.contract.place import Place
from app.core.contract.reading import Reading
from app.core.contract.replacing import replace
from app.core.contract.state import ContractState
from app.core.contract.stream import ChainStream

STATUSES: Final = ("active", "paused", "completed", "cancelled")
"""In the order of the contract's numbers."""

_COMPARED: Final = (
    "sender", "recipient", "deposit", "rate", "start", "cliff", "end", "withdrawn", "status", "cancelled_at",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class StreamRecord:
    """What the contract holds of a stream. `modified` is the ledger that changed it last.

    None: the contract's revision has no such field, or the stream no value of it. `checkpoint` is an amount in base
    units, and the Unix seconds it is of.
    """

    number: int
    sender: str
    recipient: str
    deposit: int
    rate: int
    start: int
    cliff: int
    end: int
    withdrawn: int
    status: str
    modified: int
    cancelled_at: int | None = None
    kind: Kind | None = None
    checkpoint: tuple[int, int] | None = None
    dust: int | None = None
    memo: str | None = None
    metadata: tuple[tuple[str, str], ...] | None = None
    claim_owner: str | None = None
    decommissioned: bool | None = None
    pooled: bool | None = None
    parent: int | None = None


def reconciled(stream: ChainStream, record: StreamRecord, upto: int) -> ChainStream:
    """Return the stream as the record has it, which holds all up to a ledger."""
    told = {name: getattr(record, name) for name in _COMPARED}
    after = replace(stream, **told, readings=_readings(record) or stream.readings, audited=upto)
    if after.status != "paused":
        after = replace(after, paused_at=None, pause_reason=None)
    return after


def adopted(contract: ContractState, record: StreamRecord, upto: int) -> ChainStream:
    """Return a stream whose beginning is lost, as its record has it."""
    kinds = likely_readings(record.rate, record.deposit, record.start, record.cliff, record.end)
    told: dict[str, Any] = {
        field.name: value
        for field in fields(record)
        if field.name not in {"modified", "kind", "checkpoint"} and (value := getattr(record, field.name)) is not None
    }
    return ChainStream(
        contract.contract_id,
        token=contract.token,
        decimals=contract.decimals,
        born=None,
        last=Place(0, 0, 0, 0, 0, ""),
        readings=_readings(record) or kinds,
        audited=upto,
        **told,
    )


def _readings(record: StreamRecord) -> tuple[Reading, ...]:
    if record.kind is None or record.checkpoint is None:
        return ()
    return (Reading(record.kind, *record.checkpoint),)
