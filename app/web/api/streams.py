"""`/api/streams`: the streams themselves."""

import re
from datetime import datetime
from hashlib import sha256
from http import HTTPStatus
from typing import Final

import orjson
from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel
from quart import Blueprint, Response, g, request
from quart_schema import document_headers, document_querystring, document_request, document_response

from app.core.addresses import is_address
from app.core.errors import FieldError, InvalidInput, NotFound
from app.core.ports import IdempotencyKey, StreamQuery
from app.core.stream import Status, Stream
from app.web.api import pagination
from app.web.api.body import body
from app.web.api.documents import ProblemDocument, StreamDocument, StreamPageDocument
from app.web.api.requests import Address, NewStream, StreamPatch
from app.web.keys import requires_key
from app.web.services import services

blueprint = Blueprint("streams", __name__, url_prefix="/api/streams")

_MOST: Final = 500
_DEFAULT: Final = 100
_PARAMETERS: Final = frozenset({"limit", "cursor", "status", "sender", "recipient"})
_ETAG: Final = re.compile(r'(?:W/)?("?)([0-9]{1,9})\1')
_KEY: Final = re.compile(r"[\x21-\x7e]{1,255}")
_PAGE_CURSOR: Final = re.compile(r"([0-9TZ:.-]{24})_(stream-[0-9a-zA-Z-]{1,120})")


class CreateHeaders(BaseModel):
    """Headers of a creation."""

    model_config = ConfigDict(alias_generator=lambda name: name.replace("_", "-").title())
    idempotency_key: str = Field(
        "", pattern=_KEY.pattern, description="repeat a request safely: the same key, the same answer"
    )


class ChangeHeaders(BaseModel):
    """Headers of a change."""

    model_config = ConfigDict(alias_generator=lambda name: name.replace("_", "-").title())
    if_match: str = Field("", description='the version to change, as in ETag: `"7"`')


class StreamsQuery(BaseModel):
    """What streams to list; `status`, `sender` and `recipient` may be repeated."""

    model_config = ConfigDict(alias_generator=to_camel)
    limit: int = Field(_DEFAULT, ge=1, le=_MOST)
    cursor: str = Field("", description="`next` of the page before")
    status: list[Status] = []
    sender: list[Address] = []
    recipient: list[Address] = []


@blueprint.post("")
@requires_key
@document_request(NewStream)
@document_headers(CreateHeaders)
@document_response(StreamDocument, HTTPStatus.CREATED)
@document_response(ProblemDocument, HTTPStatus.CONFLICT)
async def create() -> Response:
    """Create a stream."""
    running = services()
    new = await body(NewStream)
    now = running.streams.now()
    stream = new.to_stream(now, int(datetime.fromisoformat(now).timestamp()))
    created = await running.streams.create(stream, new.chain_key, _idempotency(bytes(await request.data)))
    document = orjson.loads(created.body)
    response = _json(created.body, HTTPStatus.CREATED)
    response.headers["Location"] = f"/api/streams/{document['id']}"
    response.headers["ETag"] = f'"{document["version"]}"'
    if created.replayed:
        response.headers["Idempotency-Replayed"] = "true"
    return response


@blueprint.get("")
@document_querystring(StreamsQuery)
@document_response(StreamPageDocument)
async def list_streams() -> Response:
    """List streams, newest first; `Last-Event-ID` of the first page is where to follow the feed from."""
    wanted = _stream_query()
    running = services()
    # Before the rows: they contain at least everything up to here.
    cursor = str(running.hub.cursor)
    page = await running.store.page(wanted)
    following = None if page.next is None else "_".join(page.next)
    response = _json(orjson.dumps({"streams": [stream.to_json() for stream in page.streams], "next": following}))
    response.headers["Last-Event-ID"] = cursor
    return response


@blueprint.get("/<stream_id>")
@document_response(StreamDocument)
@document_response(ProblemDocument, HTTPStatus.NOT_FOUND)
async def get(stream_id: str) -> Response:
    """Return a stream; `Last-Event-ID` is where to follow the feed from."""
    running = services()
    cursor = str(running.hub.cursor)
    stream = await running.store.get(stream_id)
    if stream is None:
        message = f"there is no stream {stream_id}"
        raise NotFound(message)
    response = _stream_response(stream)
    response.headers["Last-Event-ID"] = cursor
    return response


@blueprint.patch("/<stream_id>")
@requires_key
@document_request(StreamPatch)
@document_headers(ChangeHeaders)
@document_response(StreamDocument)
@document_response(ProblemDocument, HTTPStatus.CONFLICT)
async def change(stream_id: str) -> Response:
    """Change a stream."""
    patch = await body(StreamPatch)
    return _stream_response(await services().streams.update(stream_id, patch.to_change(), _expected_version()))


@blueprint.delete("/<stream_id>")
@requires_key
@document_headers(ChangeHeaders)
@document_response(StreamDocument)
@document_response(ProblemDocument, HTTPStatus.CONFLICT)
async def cancel(stream_id: str) -> Response:
    """Cancel a stream."""
    return _stream_response(await services().streams.cancel(stream_id, _expected_version()))


def _json(document: bytes, status: int = HTTPStatus.OK) -> Response:
    return Response(document, status, content_type="application/json")


def _stream_response(stream: Stream) -> Response:
    response = _json(orjson.dumps(stream.to_json()))
    response.headers["ETag"] = f'"{stream.version}"'
    return response


def _expected_version() -> int | None:
    given = request.headers.get("If-Match")
    if given is None or given.strip() == "*":
        return None
    match = _ETAG.fullmatch(given.strip())
    if match is None:
        raise InvalidInput(FieldError("If-Match", 'must be a version, as in "7"'))
    return int(match[2])


def _idempotency(content: bytes) -> IdempotencyKey | None:
    """Return the request's key, which counts only for who wrote it: another API key may use the same."""
    given = request.headers.get("Idempotency-Key")
    if given is None:
        return None
    if not _KEY.fullmatch(given):
        raise InvalidInput(FieldError("Idempotency-Key", "must be 1 to 255 printable ASCII characters without spaces"))
    return IdempotencyKey(sha256(f"{g.key_id}|{given}".encode()).hexdigest(), sha256(content).hexdigest())


def _stream_query() -> StreamQuery:
    args = request.args
    unknown = set(args) - _PARAMETERS
    if unknown:
        raise InvalidInput(*(FieldError(name, "is not known here") for name in sorted(unknown)))
    wrong = [
        FieldError(name, "must be a Stellar address (G... or C...) with a right checksum")
        for name in ("sender", "recipient")
        for value in args.getlist(name)
        if not is_address(value)
    ]
    if not set(args.getlist("status")) <= set(Status):
        wrong.append(FieldError("status", f"must be one of {', '.join(Status)}"))
    match = _PAGE_CURSOR.fullmatch(args["cursor"]) if args.get("cursor") else None
    if args.get("cursor") and match is None:
        wrong.append(FieldError("cursor", "must be the `next` of a page"))
    if wrong:
        raise InvalidInput(*wrong)
    return StreamQuery(
        limit=pagination.limit(args, default=_DEFAULT, most=_MOST),
        before=(match[1], match[2]) if match else None,
        statuses=frozenset(map(Status, args.getlist("status"))),
        senders=frozenset(args.getlist("sender")),
        recipients=frozenset(args.getlist("recipient")),
    )
