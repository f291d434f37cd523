"""What the API says of the chain, as pydantic models."""

from typing import Annotated, Literal

from pydantic import Field, JsonValue

from app.core.accrual import Kind
from app.web.api.document import Document

_Pair = Annotated[list[str], Field(min_length=2, max_length=2)]


class TokenDocument(Document):
    """What a contract pays in; `contractId` null: which token was not configured."""

    contract_id: str | None
    decimals: int


class BaseDocument(Document):
    """A chain stream's exact numbers, as strings: base units of its token (i128), and Unix seconds (u64)."""

    deposit: str
    withdrawn: str
    rate_per_second: str
    checkpoint: str
    refunded: str
    dust_threshold: str
    keeper_paid: str
    keeper_fee: str
    relayer_fees: str
    start_time: str
    end_time: str
    cliff_time: str
    checkpoint_at: str


class PlaceDocument(Document):
    """An event's place on the chain."""

    ledger: int
    transaction_hash: str
    event_index: int


class AccruedDocument(Document):
    """What has accrued at a time (Unix seconds), in base units: of the token, or of 7 decimals if it is not known."""

    at: int
    amount: str
    claimable: str = Field(description="accrued and not withdrawn")
    withdrawable: str = Field(description="what a withdrawal would pay: nothing while the stream is paused")


class ChainMembers(Document):
    """What only a stream of the chain has: one whose contract's own events were taken."""

    token: TokenDocument | None = None
    kind: Kind | None = None
    assumed: list[Literal["checkpoint", "deposit", "kind"]] | None = Field(
        None, description="what the events have not settled; the values shown are the likely ones"
    )
    base: BaseDocument | None = None
    cliff_time: int | None = None
    checkpoint_at: int | None = None
    cancelled_at: int | None = None
    paused_at: int | None = None
    paused_seconds: int | None = None
    closed_at: int | None = Field(None, description="when the contract gave up the stream's record")
    pause_reason: str | None = None
    memo: str | None = Field(None, description="bytes, hexadecimal")
    memo_text: str | None = Field(None, description="the memo, if it is UTF-8")
    metadata: list[_Pair] | None = Field(None, description="pairs of bytes, hexadecimal")
    claim_owner: str | None = None
    auto_claim: str | None = None
    decommissioned: bool | None = None
    parent: str | None = Field(None, description="`chainStreamId` of the stream that it is a share of")
    source: str | None = Field(None, description="`chainStreamId` of the stream that it was cloned from")
    previous: str | None = None
    next: str | None = None
    pooled: bool | None = None
    ledger: int | None = None
    last_event: PlaceDocument | None = None


class ChainDocument(Document):
    """Where it happened on the chain. An indexer's own events leave null what they do not tell."""

    contract_id: str | None
    stream_id: str | None = Field(description="the stream's number in the contract")
    ledger: int | None
    closed_at: int | None = Field(description="when the ledger closed, in Unix seconds")
    transaction_hash: str | None
    event_index: int | None
    topic: str | None


class ParkedDocument(Document):
    """An item of the chain that waits: it could not be understood or applied."""

    id: int
    contract_id: str | None
    waits_for: str | None = Field(description="`chainStreamId` of the stream that must come first")
    why: str
    message: str
    item: dict[str, JsonValue] = Field(description="as Stellar RPC gave it")
    place: str | None = Field(description="its id at Stellar RPC")
    created_at: str
    tries: int


class ParkedPageDocument(Document):
    """A page of what waits, the oldest first; `next` is the `after` of the following page."""

    parked: list[ParkedDocument]
    next: int | None
