"""What the contract declares and no ledger holds: if one comes, another revision runs, which somebody must look at."""

from dataclasses import dataclass

from app.core.contract.facts import StreamFact
from app.core.contract.fields import I128, U32, U64, Address
from app.core.contract.notices import Notice


@dataclass(frozen=True, slots=True)
class RateCapped(StreamFact):
    """`rate_cap`: published by a call that then fails, so that no ledger ever holds it."""

    attempted_rate: I128
    max_rate_per_second: I128


@dataclass(frozen=True, slots=True)
class SenderChanged(StreamFact):
    """`sndr_xfr`: declared by the contract, published by none of its entry points."""

    old_sender: Address
    new_sender: Address


@dataclass(frozen=True, slots=True)
class Migrated(Notice):
    """`migrated`: reserved by the contract, never published."""

    from_version: U32
    to_version: U32
    migrated_at: U64
