"""`/api/events`: the indexer's batches in, the log out."""

from http import HTTPStatus
from typing import Annotated, Final

import orjson
from pydantic import Field
from quart import Blueprint, Response
from quart_schema import (
    document_headers,
    document_querystring,
    document_request,
    document_response,
    operation_id,
    tag_blueprint,
)

from app.core.access.grant import Scope, narrowed
from app.core.chain import ChainEvent
from app.core.chain_port import RawItem
from app.core.changes import Ingested
from app.core.cursor import Cursor
from app.core.errors import CursorExpired, FieldError, InvalidInput
from app.core.event import CAUSES, Event, EventName
from app.core.filter import EventFilter, Wanted
from app.core.ports import EventLog, Position
from app.web.access.policy import reach, reads, requires
from app.web.answered import answers
from app.web.answers import json_answer
from app.web.api.body import body
from app.web.api.documents import EventPageDocument, IngestedDocument, TagHeaders
from app.web.api.domain import chain_event, hint_of
from app.web.api.fields import Address, Contract
from app.web.api.parameters import Query, page_size, page_size_shown, query
from app.web.api.requests import ChainBatch, ChainFact, ChainFunction, RawEvent
from app.web.api.results import shown_result
from app.web.api.streams import ReadHeaders
from app.web.filters import FILTER_FIELDS, filter_of
from app.web.services import services

blueprint = Blueprint("events", __name__, url_prefix="/api/events")
tag_blueprint(blueprint, ["Events"])

_MOST: Final = 1000
_DEFAULT: Final = 100
_PASSES: Final = 20
"""Pages of the log that one answer looks through, when little of it may be read; the cursor goes on from there."""


class EventsQuery(Query):
    """Which events; the filters may be repeated, as on the feeds."""

    after: str = Field("", description="a cursor; from the oldest kept event if left out")
    limit: Annotated[int, page_size(_MOST), page_size_shown(_MOST)] = _DEFAULT
    stream_id: list[str] = Field(default_factory=list)
    sender: list[Address] = Field(default_factory=list)
    recipient: list[Address] = Field(default_factory=list)
    event: list[EventName] = Field(default_factory=list)
    participant: list[Address] = Field(default_factory=list)
    contract_id: list[Contract] = Field(default_factory=list)
    cause: list[str] = Field(default_factory=list, description=f"one of {', '.join(CAUSES)}")

    @property
    def wanted(self) -> EventFilter:
        """The filter. Raises InvalidInput."""
        given = self.model_dump(by_alias=True)
        return filter_of({name: given[name] for name in FILTER_FIELDS})


@blueprint.post("")
@requires(Scope.EVENTS_WRITE)
@operation_id("ingestEvents")
@document_request(ChainBatch)
@document_response(IngestedDocument)
@answers(400, 413, 415, 503)
async def ingest() -> Response:
    """Take a batch of chain events: all that can be applied, in one transaction."""
    service = services().streams
    batch = await body(ChainBatch)
    hints = [hint_of(each) for each in batch.events if isinstance(each, ChainFunction)]
    events = [_event(each) for each in batch.events if not isinstance(each, ChainFunction)]
    taken = iter(await service.ingest(events, hints))
    results = [_hinted(each) if isinstance(each, ChainFunction) else next(taken) for each in batch.events]
    counts = {"accepted": 0, "ignored": 0, "rejected": 0, "parked": 0}
    for result in results:
        counts[result.action if result.action in counts else "accepted"] += 1
    return json_answer({"results": [shown_result(result) for result in results], **counts})


def _event(asked: ChainFact | RawEvent) -> ChainEvent | RawItem:
    return asked.item() if isinstance(asked, RawEvent) else chain_event(asked)


def _hinted(hint: ChainFunction) -> Ingested:
    return Ingested((hint.transaction_hash, hint.event_index), None, "ignored", message="a hint for the others")


@blueprint.get("")
@reads
@operation_id("readEvents")
@document_querystring(EventsQuery)
@document_headers(ReadHeaders)
@document_response(EventPageDocument, HTTPStatus.OK, TagHeaders)
@answers(304, 400, 401, 403, 410, 429, 503)
async def read() -> Response:
    """Read the log from a cursor on; the events are the feeds', byte for byte."""
    running = services()
    asked = query(EventsQuery)
    wanted, limit = narrowed(asked.wanted, reach()), asked.limit
    position = await running.log.position()
    after = _after(asked.after, default=position.at(position.floor))
    if after.epoch != position.epoch:
        raise CursorExpired("epoch")
    if after.seq > position.head:
        raise CursorExpired("future")
    try:
        events, cursor = await _read(running.log, position, after, wanted, limit)
    except CursorExpired:
        if asked.after:
            raise
        # The oldest kept event was pruned since it was looked up; what is the oldest now is as good.
        position = await running.log.position()
        events, cursor = await _read(running.log, position, position.at(position.floor), wanted, limit)
    return _page(events, cursor)


async def _read(
    log: EventLog, position: Position, after: Cursor, wanted: Wanted, limit: int
) -> tuple[list[Event], str]:
    """Return a page, and the cursor up to which all of it was looked at. What may not be read is passed over."""
    found: list[Event] = []
    for _ in range(_PASSES):
        rows = await log.read(after, position.head, wanted.in_log(), limit)
        for row in rows:
            if wanted.matches(row):
                found.append(row)
                if len(found) == limit:
                    return found, row.id
        if len(rows) < limit:
            return found, str(position.at(position.head))
        after = position.at(rows[-1].seq)
    return found, str(after)


def _after(text: str, default: Cursor) -> Cursor:
    if not text:
        return default
    try:
        return Cursor.parse(text)
    except ValueError as error:
        raise InvalidInput(FieldError("after", str(error))) from None


def _page(events: list[Event], cursor: str) -> Response:
    joined = b",".join(event.data for event in events)
    return json_answer(b'{"events":[%b],"cursor":%b}' % (joined, orjson.dumps(cursor)))
