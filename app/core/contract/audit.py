"""The contract's own record of a stream, held against what its events told."""

from dataclasses import dataclass, fields
from typing import Final

from app.core.contract.replacing import replace
from app.core.contract.stream import ChainStream

STATUSES: Final = ("active", "paused", "completed", "cancelled")
"""In the order of the contract's numbers."""

_NOT_COMPARED: Final = frozenset({"number", "modified"})


@dataclass(frozen=True, slots=True)
class StreamRecord:
    """What the contract holds of a stream. `modified` is the ledger that changed it last."""

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
    cancelled_at: int | None
    modified: int


def reconciled(stream: ChainStream, record: StreamRecord) -> ChainStream:
    """Return the stream as the record has it."""
    told = {field.name: getattr(record, field.name) for field in fields(record) if field.name not in _NOT_COMPARED}
    after = replace(stream, **told)
    if after.status != "paused":
        after = replace(after, paused_at=None, pause_reason=None)
    return after
