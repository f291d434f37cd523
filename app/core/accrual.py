"""What has accrued to a recipient: the contract's own formula, in whole base units and whole seconds."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

I128_MAX: Final = 2**127 - 1
I128_MIN: Final = -(2**127)


class Kind(StrEnum):
    """How a stream accrues: by the second from its start, all at its cliff, or by the second from its cliff."""

    LINEAR = "linear"
    CLIFF_ONLY = "cliffOnly"
    CLIFF_SLOPE = "cliffSlope"


@dataclass(frozen=True, slots=True)
class Terms:
    """What the formula needs of a stream. Amounts are base units of the token, times Unix seconds.

    `end` None is an open stream: it accrues until the deposit is used up (the contract has none, the API does).
    A stream begins with `checkpoint` 0 and `checkpoint_at` = its start.
    """

    kind: Kind
    rate: int
    deposit: int
    cliff: int
    end: int | None
    checkpoint: int
    checkpoint_at: int


@dataclass(frozen=True, slots=True)
class Holding:
    """A stream's terms, and what became of it. `status` is one of active, paused, completed, cancelled.

    `cancelled_at` None on a cancelled stream: nobody told when, so no more than `withdrawn` is known to have accrued.
    """

    terms: Terms
    status: str
    withdrawn: int
    cancelled_at: int | None = None


def accrued_by(terms: Terms, now: int) -> int:
    """Return what had accrued at `now`, whatever the status. The order of the tests is the contract's (accrual.rs).

    Before the cliff it is 0 even with a checkpoint; at the cliff a linear stream counts from its checkpoint.
    """
    if now < terms.cliff or terms.deposit <= 0:
        return 0
    if terms.kind is Kind.CLIFF_ONLY:
        return terms.deposit
    until = now if terms.end is None else min(now, terms.end)
    if terms.kind is Kind.CLIFF_SLOPE:
        return _within(_saturated(terms.rate * max(0, until - terms.cliff)), terms.deposit)
    if terms.rate < 0:
        return 0
    if terms.end is not None and terms.checkpoint_at >= terms.end:
        return _within(terms.checkpoint, terms.deposit)
    added = terms.rate * max(0, until - terms.checkpoint_at)
    if added > I128_MAX:  # the contract's checked multiplication fails there, and it takes the deposit instead
        added = terms.deposit
    return _within(_saturated(terms.checkpoint + added), terms.deposit)


def accrued(stream: Holding, at: int) -> int:
    """Return what has accrued at `at`: all of a completed stream, and of a cancelled one what had when it was."""
    if stream.status == "completed":
        return stream.terms.deposit
    if stream.status != "cancelled":
        return accrued_by(stream.terms, at)
    return stream.withdrawn if stream.cancelled_at is None else accrued_by(stream.terms, stream.cancelled_at)


def claimable(stream: Holding, at: int) -> int:
    """Return what is owed and not withdrawn yet at `at`, whether or not a pause holds it back."""
    return 0 if stream.status == "completed" else max(0, accrued(stream, at) - stream.withdrawn)


def withdrawable(stream: Holding, at: int) -> int:
    """Return what a withdrawal would pay at `at`: nothing while a pause is on, which ends with the stream's time.

    Without what no event tells: dust threshold, lookback window, the contract's emergency pause and its balance.
    """
    if stream.status == "paused" and (stream.terms.end is None or at < stream.terms.end):
        return 0
    return claimable(stream, at)


def shown(stream: Holding, at: int) -> dict[str, int | str]:
    """Return what to answer whoever asks at a time: whole base units as strings, for JSON numbers end at 2^53."""
    amounts = {"amount": accrued, "claimable": claimable, "withdrawable": withdrawable}
    return {"at": at} | {name: str(of(stream, at)) for name, of in amounts.items()}


def _within(amount: int, deposit: int) -> int:
    return max(0, min(amount, deposit))


def _saturated(value: int) -> int:
    return max(I128_MIN, min(I128_MAX, value))
