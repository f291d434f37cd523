"""What the API is asked, as pydantic models: it is checked here, field by field."""

from typing import Annotated, Any, Final, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel

from app.core.access.grant import Scope
from app.core.accrual import Kind
from app.core.stream import Status
from app.web.access.key_office import GRACE_SECONDS
from app.web.api.fields import (
    ACCOUNT,
    CONTRACT,
    HASH,
    STREAM,
    Address,
    Amount,
    Contract,
    EndTime,
    EventIndex,
    PositiveAmount,
    Seconds,
    StreamId,
    TransactionHash,
    form,
    shown,
)

MAX_BATCH = 1000
_TERMS: Final = {
    "sender": ACCOUNT,
    "recipient": CONTRACT,
    "ratePerSecond": "0.5",
    "startTime": 1_767_225_600,
    "endTime": 0,
}
_FACT: Final = {"contractId": CONTRACT, "transactionHash": HASH, "eventIndex": 0}


class Asked(BaseModel):
    """A JSON object that a client sends: camelCase names, and no other names than these."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=False, extra="forbid", frozen=True)

    def members(self) -> int | None:
        """Return how many members of JSON objects it was made of, one that is given twice once; None: not counted."""
        return None


def _example(**members: Any) -> ConfigDict:
    """Return what a request may look like: `/docs` shows it, ready to be sent."""
    return ConfigDict(json_schema_extra={"example": members})


class NewStream(Asked):
    """A stream to create. With `transactionHash` and `eventIndex` its id is the chain's."""

    model_config = _example(**_TERMS, depositAmount="1000")

    sender: Address
    recipient: Address
    deposit_amount: PositiveAmount
    rate_per_second: Amount
    start_time: Seconds | None = Field(None, description="Unix seconds; now if left out")
    end_time: EndTime = Field(0, description="Unix seconds; 0: open")
    contract_id: Contract | None = None
    transaction_hash: TransactionHash | None = None
    event_index: EventIndex | None = None


class StreamPatch(Asked):
    """What to change; at least one field."""

    model_config = _example(status="paused")

    status: Status | None = None
    streamed_amount: Amount | None = None
    remaining_amount: Amount | None = None
    end_time: Seconds | None = None

    @model_validator(mode="after")
    def _something(self) -> Self:
        if (self.status, self.streamed_amount, self.remaining_amount, self.end_time) == (None,) * 4:
            message = "must have at least one of status, streamedAmount, remainingAmount, endTime"
            raise ValueError(message)
        return self


class ChainFact(Asked):
    """What every event of the chain has."""

    contract_id: Contract
    transaction_hash: TransactionHash
    event_index: EventIndex


class ChainCreated(ChainFact):
    """A stream began on the chain."""

    model_config = _example(type="StreamCreated", **_FACT, **_TERMS, amount="1000")

    type: Literal["StreamCreated"]
    sender: Address
    recipient: Address
    amount: PositiveAmount
    rate_per_second: Amount
    start_time: Seconds
    end_time: EndTime = 0


class ChainUpdated(ChainFact):
    """A stream's status, amounts or end changed on the chain."""

    model_config = _example(type="StreamUpdated", **{**_FACT, "eventIndex": 1}, streamId=STREAM, streamedAmount="10.5")

    type: Literal["StreamUpdated"]
    stream_id: StreamId
    status: Status | None = None
    streamed_amount: Amount | None = None
    remaining_amount: Amount | None = None
    end_time: Seconds | None = None


class ChainCancelled(ChainFact):
    """A stream was cancelled on the chain."""

    model_config = _example(type="StreamCancelled", **{**_FACT, "eventIndex": 2}, streamId=STREAM)

    type: Literal["StreamCancelled"]
    stream_id: StreamId


class ChainFunction(Asked):
    """What a transaction called, as its envelope tells: no event does. It holds from `eventIndex` on."""

    type: Literal["ChainFunction"]
    transaction_hash: TransactionHash
    function: str | None = Field(None, max_length=64, examples=["update_rate"])
    kind: Kind | None = None
    event_index: EventIndex = 0


class RawEvent(BaseModel):
    """An item of Stellar RPC's `getEvents`, as it is. It is Stellar's object, so nothing of it is refused."""

    model_config = ConfigDict(extra="allow", frozen=True)

    type: Literal["contract", "system"]

    def item(self) -> dict[str, Any]:
        """Return it as it came."""
        return {"type": self.type, **(self.model_extra or {})}


AnyChainEvent = Annotated[
    ChainCreated | ChainUpdated | ChainCancelled | ChainFunction | RawEvent, Field(discriminator="type")
]


class ChainBatch(Asked):
    """The indexer's batch: one transaction, idempotent on (transactionHash, eventIndex)."""

    model_config = _example(events=[{"type": "StreamCreated", **_FACT, **_TERMS, "amount": "1000"}])

    events: list[AnyChainEvent] = Field(max_length=MAX_BATCH)

    def members(self) -> int | None:
        """Count those of seed events: to parse a thousand again would be a tenth of what repeats cost."""
        if any(isinstance(event, RawEvent) for event in self.events):
            return None
        return 1 + sum(len(event.model_fields_set) for event in self.events)


def _printable(text: str) -> str:
    if not text.isprintable():
        message = "must be printable characters alone"
        raise ValueError(message)
    return text


PrintableText = Annotated[str, AfterValidator(_printable)]


class NewKey(Asked):
    """A key to make. Without `own`, `streamIds` and `contracts` it reads all streams, if it may read."""

    model_config = _example(name="indexer", scopes=["events:write"])

    name: PrintableText = Field(min_length=1, max_length=100)
    scopes: list[Scope] = Field(min_length=1)
    own: list[Address] = Field(
        default_factory=list, max_length=1000, description="streams of these senders, recipients"
    )
    stream_ids: list[StreamId] = Field(default_factory=list, max_length=1000)
    contracts: list[Contract] = Field(default_factory=list, max_length=1000)
    expires_in: float | None = Field(None, gt=0, le=3_153_600_000, description="seconds; null: it does not end")


class KeyRotation(Asked):
    """How a key is replaced."""

    model_config = _example(grace=3600)

    grace: float = Field(GRACE_SECONDS, ge=0, le=31_536_000, description="seconds for which the old key is good, too")


class NewRevocation(Asked):
    """A token to revoke."""

    model_config = _example(jti="b7f1a0c2")

    jti: PrintableText = Field(min_length=1, max_length=512)
    seconds: float = Field(2_592_000, gt=0, le=31_536_000, description="how long it is remembered: until it is expired")


_source = "([a-z0-9][a-z0-9._-]{0,63}|contract:C[A-Z2-7]{55})"
Source = Annotated[
    str,
    form(
        _source,
        "1 to 64 lower-case letters, digits, dots, dashes or underscores, the first a letter or digit,"
        " or contract:C...",
    ),
    shown(_source, "operator"),
]


class OutageReport(Asked):
    """Something the feed depends on is out of order, or is in order again."""

    model_config = _example(source="operator", reason="The chain's RPC node is behind.")

    source: Source = Field("operator", description="who or what it is about")
    reason: str = Field(min_length=1, max_length=500, examples=["The chain's RPC node is behind."])
