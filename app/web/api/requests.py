"""What the API is asked, as pydantic models: it is checked here, field by field."""

from typing import Annotated, Any, Literal, Self
from uuid import uuid4

from pydantic import (
    AfterValidator,
    Field,
    StrictInt,
    StringConstraints,
    ValidationInfo,
    model_validator,
)

from app.core.addresses import is_address
from app.core.chain import ChainEvent, StreamCancelled, StreamCreated, StreamUpdated
from app.core.errors import FieldError, InvalidInput
from app.core.ports import ChainKey
from app.core.stream import MAX_TIME, Status, Stream, StreamChange, parse_amount
from app.web.api.documents import Document

MAX_BATCH = 1000
_MAX_INDEX = 2**31 - 1
_ADDRESS_PATTERN = "^[GC][A-Z2-7]{55}$"


def _address(text: str) -> str:
    if not is_address(text):
        message = "must be a Stellar address (G... or C...) with a right checksum"
        raise ValueError(message)
    return text


def _contract(text: str) -> str:
    if not is_address(text, "C"):
        message = "must be a Stellar contract address (C...) with a right checksum"
        raise ValueError(message)
    return text


def _positive(text: str) -> str:
    if not text.strip("0."):
        message = "must be more than 0"
        raise ValueError(message)
    return text


_END_BEFORE_START = "must be 0 (open) or after startTime"


def _end_after_start(end: int, info: ValidationInfo) -> int:
    if end and end <= (info.data.get("start_time") or 0):
        raise ValueError(_END_BEFORE_START)
    return end


_amount_schema = Field(
    json_schema_extra={"pattern": r"^(0|[1-9][0-9]*)(\.[0-9]{1,7})?$", "maxLength": 20}, examples=["1000.5"]
)
Address = Annotated[str, AfterValidator(_address), Field(json_schema_extra={"pattern": _ADDRESS_PATTERN})]
Contract = Annotated[str, AfterValidator(_contract), Field(json_schema_extra={"pattern": "^C[A-Z2-7]{55}$"})]
Amount = Annotated[str, AfterValidator(parse_amount), _amount_schema]
PositiveAmount = Annotated[str, AfterValidator(parse_amount), AfterValidator(_positive), _amount_schema]
Seconds = Annotated[StrictInt, Field(ge=0, le=MAX_TIME, description="Unix seconds")]
EndTime = Annotated[Seconds, AfterValidator(_end_after_start)]
TransactionHash = Annotated[str, StringConstraints(pattern="^[0-9a-fA-F]{64}$", to_lower=True)]
EventIndex = Annotated[StrictInt, Field(ge=0, le=_MAX_INDEX)]
StreamId = Annotated[str, StringConstraints(pattern=r"^stream-[0-9a-zA-Z-]{1,120}$", to_lower=True)]


def _new_stream(key: ChainKey | None, now: str, **given: Any) -> Stream:
    transaction, index = key or (None, None)
    return Stream(
        id=f"stream-{transaction}-{index}" if key else f"stream-{uuid4()}",
        streamed_amount="0",
        remaining_amount=given["deposit_amount"],
        status=Status.ACTIVE,
        transaction_hash=transaction,
        event_index=index,
        version=1,
        created_at=now,
        updated_at=now,
        **given,
    )


class NewStream(Document):
    """A stream to create. With `transactionHash` and `eventIndex` its id is the chain's."""

    sender: Address
    recipient: Address
    deposit_amount: PositiveAmount
    rate_per_second: Amount
    start_time: Seconds | None = Field(None, description="Unix seconds; now if left out")
    end_time: EndTime = Field(0, description="Unix seconds; 0: open")
    contract_id: Contract | None = None
    transaction_hash: TransactionHash | None = None
    event_index: EventIndex | None = None

    @property
    def chain_key(self) -> ChainKey | None:
        """The chain event that this stream is, if it is one."""
        if self.transaction_hash is None or self.event_index is None:
            return None
        return self.transaction_hash, self.event_index

    def to_stream(self, now: str, now_seconds: int) -> Stream:
        """Return the stream at its first version. Raises InvalidInput if its fields do not fit together."""
        start = now_seconds if self.start_time is None else self.start_time
        if (self.transaction_hash is None) != (self.event_index is None):
            raise InvalidInput(FieldError("eventIndex", "must come together with transactionHash"))
        if self.end_time and self.end_time <= start:
            raise InvalidInput(FieldError("endTime", _END_BEFORE_START))
        return _new_stream(
            self.chain_key,
            now,
            sender=self.sender,
            recipient=self.recipient,
            deposit_amount=self.deposit_amount,
            rate_per_second=self.rate_per_second,
            start_time=start,
            end_time=self.end_time,
            contract_id=self.contract_id,
        )


class StreamPatch(Document):
    """What to change; at least one field."""

    status: Status | None = None
    streamed_amount: Amount | None = None
    remaining_amount: Amount | None = None
    end_time: Seconds | None = None

    @model_validator(mode="after")
    def _something(self) -> Self:
        if not self.to_change().given():
            message = "must have at least one of status, streamedAmount, remainingAmount, endTime"
            raise ValueError(message)
        return self

    def to_change(self) -> StreamChange:
        """Return the change."""
        return StreamChange(self.status, self.streamed_amount, self.remaining_amount, self.end_time)


class _Chain(Document):
    contract_id: Contract
    transaction_hash: TransactionHash
    event_index: EventIndex

    @property
    def key(self) -> ChainKey:
        return self.transaction_hash, self.event_index


class ChainCreated(_Chain):
    """`StreamCreated`."""

    type: Literal["StreamCreated"]
    sender: Address
    recipient: Address
    amount: PositiveAmount
    rate_per_second: Amount
    start_time: Seconds
    end_time: EndTime = 0

    def to_core(self, now: str) -> ChainEvent:
        """Return what it does."""
        stream = _new_stream(
            self.key,
            now,
            sender=self.sender,
            recipient=self.recipient,
            deposit_amount=self.amount,
            rate_per_second=self.rate_per_second,
            start_time=self.start_time,
            end_time=self.end_time,
            contract_id=self.contract_id,
        )
        return StreamCreated(stream, self.key)


class ChainUpdated(_Chain):
    """`StreamUpdated`."""

    type: Literal["StreamUpdated"]
    stream_id: StreamId
    status: Status | None = None
    streamed_amount: Amount | None = None
    remaining_amount: Amount | None = None
    end_time: Seconds | None = None

    def to_core(self, now: str) -> ChainEvent:
        """Return what it does."""
        del now
        change = StreamChange(self.status, self.streamed_amount, self.remaining_amount, self.end_time)
        return StreamUpdated(self.stream_id, self.key, change)


class ChainCancelled(_Chain):
    """`StreamCancelled`."""

    type: Literal["StreamCancelled"]
    stream_id: StreamId

    def to_core(self, now: str) -> ChainEvent:
        """Return what it does."""
        del now
        return StreamCancelled(self.stream_id, self.key)


class ChainBatch(Document):
    """The indexer's batch: one transaction, idempotent on (transactionHash, eventIndex)."""

    events: list[Annotated[ChainCreated | ChainUpdated | ChainCancelled, Field(discriminator="type")]] = Field(
        max_length=MAX_BATCH
    )


class OutageReport(Document):
    """Something the feed depends on is out of order, or is in order again."""

    source: str = Field("operator", pattern="^[a-z0-9][a-z0-9._-]{0,63}$", description="who or what it is about")
    reason: str = Field(min_length=1, max_length=500)
