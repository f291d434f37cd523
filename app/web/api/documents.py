"""What the API answers, as pydantic models: for its description, and for whoever reads it."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, JsonValue, PositiveInt
from pydantic.alias_generators import to_camel

from app.core.stream import Status


class Document(BaseModel):
    """A JSON object: camelCase names, and no other names than these."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=False, extra="forbid", frozen=True)


class StreamDocument(Document):
    """A stream."""

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


class StreamPageDocument(Document):
    """A page of streams, newest first; `next` is the `cursor` of the following page."""

    streams: list[StreamDocument]
    next: str | None


class EventDocument(Document):
    """An event of the log."""

    id: str
    event: Literal["stream.created", "stream.updated", "stream.cancelled"]
    stream_id: str
    version: PositiveInt
    payload: StreamDocument
    changed: list[str]
    timestamp: str


class EventPageDocument(Document):
    """A page of the log; `cursor` is the `after` of the following page."""

    events: list[EventDocument]
    cursor: str


class ResultDocument(Document):
    """What became of one chain event."""

    event_id: str
    stream_id: str
    action: Literal["created", "updated", "cancelled", "ignored", "rejected"]
    id: str | None = None
    error: dict[str, JsonValue] | None = None


class IngestedDocument(Document):
    """What became of a batch."""

    results: list[ResultDocument]
    accepted: int
    ignored: int
    rejected: int


class ProblemDocument(BaseModel):
    """An error, as in RFC 9457."""

    type: str
    title: str
    status: int
    detail: str
    errors: list[dict[str, str]] | None = None
