"""What the API answers, as pydantic models: for its description, and for whoever reads it."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, PositiveInt

from app.core.event import CAUSES
from app.core.stream import Status
from app.web.api.chain_documents import AccruedDocument, ChainDocument, ChainMembers
from app.web.api.document import Document


class StreamDocument(ChainMembers):
    """A stream. Amounts are decimal strings in tokens, times Unix seconds."""

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
    version: PositiveInt
    created_at: str
    updated_at: str
    chain_stream_id: str | None = Field(description="its number in the contract; null: not a stream of the chain")
    accrued: AccruedDocument | None = Field(None, description="only where `at` was asked for")


class StreamPageDocument(Document):
    """A page of streams, newest first; `next` is the `cursor` of the following page."""

    streams: list[StreamDocument]
    next: str | None


class EventDocument(Document):
    """An event of the log. One that was committed by a version before 0.2 has no `cause`, `detail` and `chain`."""

    id: str
    event: Literal["stream.created", "stream.updated", "stream.cancelled"]
    stream_id: str
    version: PositiveInt
    cause: str | None = Field(None, description=f"why it is there; by now one of {', '.join(CAUSES)}")
    detail: dict[str, JsonValue] | None = Field(None, description="what else the cause says; base units as strings")
    chain: ChainDocument | None = Field(None, description="null: it was asked of the API")
    payload: StreamDocument
    changed: list[str]
    timestamp: str


class EventPageDocument(Document):
    """A page of the log; `cursor` is the `after` of the following page."""

    events: list[EventDocument]
    cursor: str


class FieldErrorDocument(Document):
    """What is wrong with one field."""

    field: str
    message: str


class ProblemDocument(BaseModel):
    """An error, as in RFC 9457."""

    type: str
    title: str
    status: int
    detail: str
    errors: list[FieldErrorDocument] | None = None


class ResultDocument(Document):
    """What became of one chain event. `id` is its event in the log; `ids` are all of them, where it made several."""

    event_id: str | None
    stream_id: str | None
    action: Literal["created", "updated", "cancelled", "ignored", "rejected", "parked"]
    id: str | None = None
    ids: list[str] | None = None
    why: str | None = Field(None, description="why it is parked, for programs")
    message: str | None = Field(None, description="why it is parked or ignored, for people")
    error: dict[str, JsonValue] | None = None


class IngestedDocument(Document):
    """What became of a batch."""

    results: list[ResultDocument]
    accepted: int
    ignored: int
    rejected: int
    parked: int


class AnswerHeaders(BaseModel):
    """Headers that an answer has."""

    model_config = ConfigDict(alias_generator=lambda name: name.replace("_", "-").title().replace("-Id", "-ID"))


class TagHeaders(AnswerHeaders):
    """A validator for conditional requests."""

    e_tag: str = Field(alias="ETag", description="names this version of the answer, for `If-None-Match`")


class VersionHeaders(AnswerHeaders):
    """The stream's version, as a validator."""

    e_tag: str = Field(alias="ETag", description='the stream\'s version, for `If-Match` and `If-None-Match`: `"7"`')


class CreatedHeaders(VersionHeaders):
    """Where the new stream is."""

    location: str = Field(description="the path of the new stream")
    idempotency_replayed: str | None = Field(None, description="`true`: this is the answer of an earlier request")


class StreamHeaders(VersionHeaders):
    """The version, and where to go on from."""

    last_event_id: str = Field(description="the cursor from which a feed goes on where this answer ends")


class StreamPageHeaders(TagHeaders):
    """Where to go on from."""

    last_event_id: str = Field(description="the cursor from which a feed goes on where this answer ends")
    link: str | None = Field(None, description='the following page, `rel="next"` (RFC 8288)')
