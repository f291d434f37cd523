"""What the events leave open of a stream, and what later ones settle.

`created` does not tell the kind, `rate_upd` not whether it took a checkpoint. Every reading that fits is kept, the
likeliest first, until a number that the contract tells contradicts it.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.core.accrual import Kind, accrued_by
from app.core.contract.replacing import replace

if TYPE_CHECKING:
    from app.core.contract.stream import ChainStream


@dataclass(frozen=True)
class Reading:
    """One way to understand the events: a kind, and the checkpoint (base units, Unix seconds)."""

    kind: Kind
    checkpoint: int
    checkpoint_at: int


def accrued_as(stream: "ChainStream", reading: Reading, now: int) -> int:
    """Return what had accrued at `now` if this reading is right, whatever the status."""
    return accrued_by(stream.terms_as(reading), now)


def read_as(stream: "ChainStream", readings: Iterable[Reading]) -> "ChainStream":
    """Return the stream with these readings, each once, in their order."""
    return replace(stream, readings=tuple(dict.fromkeys(readings)))


def proven(stream: "ChainStream", now: int, accrued: int) -> "ChainStream":
    """Drop the readings by which another amount had accrued at `now`; all stay if none gives it."""
    fitting = [reading for reading in stream.readings if accrued_as(stream, reading, now) == accrued]
    return read_as(stream, fitting) if fitting else stream


def as_linear(stream: "ChainStream") -> "ChainStream":
    """Drop the readings that are not linear: the contract refuses the call for any other kind."""
    linear = [reading for reading in stream.readings if reading.kind is Kind.LINEAR]
    return read_as(stream, linear or [replace(stream.readings[0], kind=Kind.LINEAR)])


def like(stream: "ChainStream", source: "ChainStream | None") -> "ChainStream":
    """Take the kind of the stream that this one was made of, where that is settled."""
    if source is None or "kind" in source.assumed:
        return stream
    return read_as(stream, [replace(reading, kind=source.readings[0].kind) for reading in stream.readings])
