"""`/api/events`: the indexer's batches in, the log out."""

from http import HTTPStatus
from typing import Any, Final

import orjson
from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel
from quart import Blueprint, Response, request
from quart_schema import document_querystring, document_request, document_response

from app.core.cursor import Cursor
from app.core.errors import CursorExpired, FieldError, InvalidInput
from app.core.event import Event, EventName
from app.core.stream_service import Ingested
from app.web.api import pagination
from app.web.api.body import body
from app.web.api.documents import EventPageDocument, IngestedDocument, ProblemDocument
from app.web.api.requests import Address, ChainBatch
from app.web.filters import event_filter
from app.web.keys import requires_key
from app.web.problems import describe
from app.web.services import services

blueprint = Blueprint("events", __name__, url_prefix="/api/events")

_MOST: Final = 1000
_DEFAULT: Final = 100


class EventsQuery(BaseModel):
    """Which events; the filters may be repeated, as on the feeds."""

    model_config = ConfigDict(alias_generator=to_camel)
    after: str = Field("", description="a cursor; from the oldest kept event if left out")
    limit: int = Field(_DEFAULT, ge=1, le=_MOST)
    stream_id: list[str] = []
    sender: list[Address] = []
    recipient: list[Address] = []
    event: list[EventName] = []


@blueprint.post("")
@requires_key
@document_request(ChainBatch)
@document_response(IngestedDocument)
@document_response(ProblemDocument, HTTPStatus.BAD_REQUEST)
async def ingest() -> Response:
    """Take a batch of chain events: all that can be applied, in one transaction."""
    service = services().streams
    batch = await body(ChainBatch)
    now = service.now()
    results = await service.ingest([event.to_core(now) for event in batch.events])
    counts = {"accepted": 0, "ignored": 0, "rejected": 0}
    for result in results:
        counts[result.action if result.action in counts else "accepted"] += 1
    return _json({"results": [_result(result) for result in results], **counts})


@blueprint.get("")
@document_querystring(EventsQuery)
@document_response(EventPageDocument)
@document_response(ProblemDocument, HTTPStatus.GONE)
async def read() -> Response:
    """Read the log from a cursor on; the events are the feeds', byte for byte."""
    running = services()
    wanted = event_filter(request.args, ("after", "limit"))
    limit = pagination.limit(request.args, default=_DEFAULT, most=_MOST)
    position = await running.log.position()
    after = _after(request.args.get("after"), default=position.at(position.floor))
    if after.epoch != position.epoch:
        raise CursorExpired("epoch")
    if after.seq > position.head:
        raise CursorExpired("future")
    try:
        events = await running.log.read(after, position.head, wanted, limit)
    except CursorExpired:
        if request.args.get("after"):
            raise
        # The oldest kept event was pruned since it was looked up; what is the oldest now is as good.
        position = await running.log.position()
        events = await running.log.read(position.at(position.floor), position.head, wanted, limit)
    cursor = events[-1].id if len(events) == limit else str(position.at(position.head))
    return _page(events, cursor)


def _after(text: str | None, default: Cursor) -> Cursor:
    if not text:
        return default
    try:
        return Cursor.parse(text)
    except ValueError as error:
        raise InvalidInput(FieldError("after", str(error))) from None


def _page(events: list[Event], cursor: str) -> Response:
    joined = b",".join(event.data for event in events)
    document = b'{"events":[%b],"cursor":%b}' % (joined, orjson.dumps(cursor))
    return Response(document, content_type="application/json")


def _result(result: Ingested) -> dict[str, Any]:
    transaction, index = result.key
    shown: dict[str, Any] = {
        "eventId": f"{transaction}-{index}",
        "streamId": result.stream_id,
        "action": result.action,
    }
    if result.event_id is not None:
        shown["id"] = result.event_id
    if result.error is not None:
        shown["error"] = describe(result.error)
    return shown


def _json(document: Any) -> Response:
    return Response(orjson.dumps(document), content_type="application/json")
