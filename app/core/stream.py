"""The payment stream: its fields, its amounts and what may become of it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, Final, NamedTuple, Self
from uuid import uuid4

from app.core.accrual import Holding, Kind, Terms
from app.core.clock import timestamp
from app.core.contract.replacing import replace
from app.core.contract.stream import ChainStream
from app.core.contract.view import view
from app.core.errors import Conflict

MAX_TIME: Final = 253_402_300_799
"""The last second of the year 9999, in Unix seconds: later ones have no ISO 8601 form."""

DECIMALS: Final = 7
"""Of an amount that is not the chain's own."""

_AMOUNT = re.compile(r"(0|[1-9][0-9]*)(\.[0-9]{1,7})?")
_MAX_DIGITS = 19


class Status(StrEnum):
    """Where a stream is in its life; `completed` and `cancelled` are terminal."""

    ACTIVE = "active"
    PAUSED = "paused"
    COMPLETED = "completed"
    CANCELLED = "cancelled"


TRANSITIONS: Final[Mapping[Status, frozenset[Status]]] = {
    Status.ACTIVE: frozenset({Status.PAUSED, Status.COMPLETED, Status.CANCELLED}),
    Status.PAUSED: frozenset({Status.ACTIVE, Status.CANCELLED}),
    Status.COMPLETED: frozenset(),
    Status.CANCELLED: frozenset(),
}
CHAIN_TRANSITIONS: Final = {**TRANSITIONS, Status.PAUSED: TRANSITIONS[Status.PAUSED] | {Status.COMPLETED}}
"""The contract completes a stream that is paused, too."""


def parse_amount(text: str) -> str:
    """Return a decimal amount as it was given, or raise ValueError with the reason.

    Stellar counts in 64-bit integers of 10^-7: at most 7 decimals and 19 digits in all.
    """
    if not _AMOUNT.fullmatch(text):
        message = "must be a decimal number as a string, without sign or exponent, with at most 7 decimals"
        raise ValueError(message)
    if len(text) - ("." in text) > _MAX_DIGITS:
        message = f"must have at most {_MAX_DIGITS} digits"
        raise ValueError(message)
    return text


def base_units(amount: str, decimals: int) -> int:
    """Return a decimal amount in base units; digits below one unit are cut off."""
    whole, _, part = amount.partition(".")
    return int(whole + part[:decimals].ljust(decimals, "0"))


def normal_id(text: str) -> str:
    """Return a stream's id in the one form in which it is kept: hex digits may be written in capitals elsewhere."""
    return text.lower()


def chain_made_id(transaction_hash: str, event_index: int) -> str:
    """Return the id of the stream that an event of the chain made."""
    return normal_id(f"stream-{transaction_hash}-{event_index}")


def _begun_id(transaction_hash: str | None, event_index: int | None) -> str:
    if transaction_hash is None or event_index is None:
        return f"stream-{uuid4()}"
    return chain_made_id(transaction_hash, event_index)


@dataclass(frozen=True)
class Stream:
    """A payment stream as it is after some version. Amounts are decimal strings; times are Unix seconds."""

    id: str
    sender: str
    recipient: str
    deposit_amount: str
    streamed_amount: str
    remaining_amount: str
    rate_per_second: str
    start_time: int
    end_time: int
    status: Status
    contract_id: str | None
    transaction_hash: str | None
    event_index: int | None
    version: int
    created_at: str
    updated_at: str
    chain_stream_id: str | None = None
    chain: ChainStream | None = None
    """What the chain told of it, exactly; then all the other fields follow from it."""

    @classmethod
    def begin(
        cls,
        *,
        sender: str,
        recipient: str,
        deposit_amount: str,
        rate_per_second: str,
        start_time: int,
        end_time: int,
        now: datetime,
        contract_id: str | None = None,
        transaction_hash: str | None = None,
        event_index: int | None = None,
    ) -> Self:
        """Make a new stream: active, at version 1, with nothing streamed yet.

        Its id is the chain event's that made it, `stream-<transactionHash>-<eventIndex>`; one that is not of the
        chain, so without `transaction_hash`, gets `stream-<uuid>`. `start_time` and `end_time` are Unix seconds.
        """
        begun = timestamp(now)
        return cls(
            id=_begun_id(transaction_hash, event_index),
            sender=sender,
            recipient=recipient,
            deposit_amount=deposit_amount,
            streamed_amount="0",
            remaining_amount=deposit_amount,
            rate_per_second=rate_per_second,
            start_time=start_time,
            end_time=end_time,
            status=Status.ACTIVE,
            contract_id=contract_id,
            transaction_hash=transaction_hash,
            event_index=event_index,
            version=1,
            created_at=begun,
            updated_at=begun,
        )

    def to_json(self) -> dict[str, Any]:
        """Return the stream as its JSON object: camelCase names, in the order of the wire contract."""
        if self.chain is None:
            return {json_name: getattr(self, name) for name, json_name in JSON_NAMES.items()}
        own = {"version": self.version, "createdAt": self.created_at, "updatedAt": self.updated_at}
        return {**_ORDER, **view(self.chain), **own}

    @property
    def holding(self) -> Holding:
        """What app.core.accrual needs, in base units: of the chain's token, else of the 7 decimals of an amount."""
        if self.chain is not None:
            return self.chain.holding
        terms = Terms(
            kind=Kind.LINEAR,
            rate=base_units(self.rate_per_second, DECIMALS),
            deposit=base_units(self.deposit_amount, DECIMALS),
            cliff=self.start_time,
            end=self.end_time or None,
            checkpoint=0,
            checkpoint_at=self.start_time,
        )
        return Holding(terms, self.status, base_units(self.streamed_amount, DECIMALS))

    def changed_by(
        self, change: "StreamChange", now: datetime, *, fact: bool = False
    ) -> tuple["Stream", tuple[str, ...]]:
        """Return the stream after `change`, and the JSON names of what differs; none: it is the same stream.

        What happened on the chain is a `fact`: a terminal stream may still be paid out, only its status holds.

        Raises:
            Conflict: a terminal stream, a transition the status machine does not have, or an end before the start.

        """
        wanted = change.given()
        following = (CHAIN_TRANSITIONS if fact else TRANSITIONS)[self.status]
        new_status = change.status not in (None, self.status)
        if not following and (new_status or not fact):
            message = f"the stream is {self.status}, which is final"
            raise Conflict(message, field="status" if new_status else JSON_NAMES[next(iter(wanted), "status")])
        if new_status and change.status not in following:
            message = f"a stream cannot go from {self.status} to {change.status}"
            raise Conflict(message, field="status")
        if change.end_time and change.end_time <= self.start_time:
            message = f"endTime must be 0 (open) or after startTime ({self.start_time})"
            raise Conflict(message, field="endTime")
        different = {name: value for name, value in wanted.items() if not _same(getattr(self, name), value)}
        if not different:
            return self, ()
        after = replace(self, **different, version=self.version + 1, updated_at=timestamp(now))
        return after, tuple(JSON_NAMES[name] for name in different)


class StreamChange(NamedTuple):
    """What is asked to change; `None` leaves a field as it is."""

    status: Status | None = None
    streamed_amount: str | None = None
    remaining_amount: str | None = None
    end_time: int | None = None

    def given(self) -> dict[str, Any]:
        """Return the fields that are asked for, by name."""
        return {name: value for name, value in self._asdict().items() if value is not None}


def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(word.title() for word in rest)


JSON_NAMES: Final[Mapping[str, str]] = {
    field.name: _camel(field.name) for field in fields(Stream) if field.name != "chain"
}
_ORDER: Final = dict.fromkeys(JSON_NAMES.values())
AMOUNTS: Final = frozenset({"streamed_amount", "remaining_amount"})


def _same(before: Any, after: Any) -> bool:
    """Compare amounts as numbers: `1.50` and `1.5` are no change."""
    if before == after:
        return True
    return isinstance(after, str) and not isinstance(after, Status) and Decimal(before) == Decimal(after)
