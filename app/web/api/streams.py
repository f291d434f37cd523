"""`/api/streams`: the streams themselves."""

from dataclasses import replace
from hashlib import sha256
from http import HTTPStatus
from typing import Annotated, Any, Final
from urllib.parse import urlencode

from pydantic import Field
from quart import Blueprint, Response, g, request
from quart_schema import (
    document_headers,
    document_querystring,
    document_request,
    document_response,
    operation_id,
    tag_blueprint,
)

from app.core import accrual
from app.core.access.grant import Scope
from app.core.errors import NotFound
from app.core.ports import IdempotencyKey, StreamQuery
from app.core.stream import Status, Stream, normal_id
from app.web.access.policy import reach, reads, requires
from app.web.answered import answers
from app.web.answers import json_answer
from app.web.api.body import body
from app.web.api.conditional import precondition
from app.web.api.documents import (
    CreatedHeaders,
    StreamDocument,
    StreamHeaders,
    StreamPageDocument,
    StreamPageHeaders,
    VersionHeaders,
)
from app.web.api.domain import chain_key, change_of, new_stream
from app.web.api.fields import Address, Contract, form, shown
from app.web.api.parameters import At, Query, RequestHeaders, headers, page_size, page_size_shown, query
from app.web.api.requests import NewStream, StreamPatch
from app.web.services import services

blueprint = Blueprint("streams", __name__, url_prefix="/api/streams")
tag_blueprint(blueprint, ["Streams"])

_MOST: Final = 500
_DEFAULT: Final = 100
_CURSOR_PATTERN: Final = "([0-9TZ:.-]{24}_stream-[0-9a-z-]{1,120})?"

_KEY_PATTERN: Final = r"[\x21-\x7e]{1,255}"
_KEY_WORDS: Final = "1 to 255 printable ASCII characters without spaces"

PageCursor = Annotated[str, form(_CURSOR_PATTERN, "the `next` of a page"), shown(_CURSOR_PATTERN)]
Key = Annotated[str, form(_KEY_PATTERN, _KEY_WORDS), shown(_KEY_PATTERN)]


class CreateHeaders(RequestHeaders):
    """Headers of a creation."""

    idempotency_key: Key | None = Field(None, description="repeat a request safely: the same key, the same answer")


class ChangeHeaders(RequestHeaders):
    """Headers of a change."""

    if_match: str | None = Field(
        None, description='the versions that may be changed, as in `ETag`: `"7"`, a list, or `*`', examples=["*"]
    )
    if_none_match: str | None = Field(None, description="versions that may not be changed")


class ReadHeaders(RequestHeaders):
    """Headers of a look at something."""

    if_none_match: str | None = Field(None, description="an `ETag` that is known already: 304 if it still holds")


class StreamsQuery(Query):
    """What streams to list; the filters may be repeated."""

    limit: Annotated[int, page_size(_MOST), page_size_shown(_MOST)] = _DEFAULT
    cursor: PageCursor = Field("", description="`next` of the page before")
    status: list[Status] = Field(default_factory=list)
    sender: list[Address] = Field(default_factory=list)
    recipient: list[Address] = Field(default_factory=list)
    participant: list[Address] = Field(default_factory=list)
    contract_id: list[Contract] = Field(default_factory=list)
    at: At = None

    def to_core(self) -> StreamQuery:
        """Return the query that the store knows."""
        moment, _, stream_id = self.cursor.partition("_")
        return StreamQuery(
            limit=self.limit,
            before=(moment, stream_id) if stream_id else None,
            statuses=frozenset(self.status),
            senders=frozenset(self.sender),
            recipients=frozenset(self.recipient),
            participants=frozenset(self.participant),
            contracts=frozenset(self.contract_id),
        )


class StreamQueryAt(Query):
    """For which time to say what has accrued."""

    at: At = None


@blueprint.post("")
@requires(Scope.STREAMS_WRITE)
@operation_id("createStream")
@document_request(NewStream)
@document_headers(CreateHeaders)
@document_response(StreamDocument, HTTPStatus.CREATED, CreatedHeaders)
@answers(400, 409, 413, 415, 422, 503)
async def create() -> Response:
    """Create a stream."""
    service = services().streams
    key = headers(CreateHeaders).idempotency_key
    stream = new_stream(await body(NewStream), service.now())
    created = await service.create(stream, chain_key(stream), _idempotency(key, bytes(await request.data)))
    response = json_answer(created.body, HTTPStatus.CREATED)
    response.headers["Location"] = f"{request.root_path}{blueprint.url_prefix}/{created.stream_id}"
    response.headers["ETag"] = _etag(stream.version)
    if created.replayed:
        response.headers["Idempotency-Replayed"] = "true"
    return response


@blueprint.get("")
@reads
@operation_id("listStreams")
@document_querystring(StreamsQuery)
@document_headers(ReadHeaders)
@document_response(StreamPageDocument, HTTPStatus.OK, StreamPageHeaders)
@answers(304, 400, 401, 403, 429, 503)
async def list_streams() -> Response:
    """List streams, newest first; `Last-Event-ID` of the first page is where to follow the feed from."""
    asked = query(StreamsQuery)
    running = services()
    # Before the rows: they contain at least everything up to here.
    cursor = str(running.hub.cursor)
    page = await running.store.page(replace(asked.to_core(), reach=reach()))
    following = None if page.next is None else "_".join(page.next)
    response = json_answer({"streams": [_shown(stream, asked.at) for stream in page.streams], "next": following})
    response.headers["Last-Event-ID"] = cursor
    if following is not None:
        response.headers["Link"] = f'<{_page_url(following)}>; rel="next"'
    return response


@blueprint.get("/<stream_id>")
@reads
@operation_id("getStream")
@document_querystring(StreamQueryAt)
@document_headers(ReadHeaders)
@document_response(StreamDocument, HTTPStatus.OK, StreamHeaders)
@answers(304, 400, 401, 403, 404, 429, 503)
async def get(stream_id: str) -> Response:
    """Return a stream; `Last-Event-ID` is where to follow the feed from."""
    running = services()
    at = query(StreamQueryAt).at
    cursor = str(running.hub.cursor)
    stream = await running.store.get(normal_id(stream_id))
    limit = reach()
    if stream is None or not (limit is None or limit.shows(stream)):
        message = f"there is no stream {stream_id}"
        raise NotFound(message)
    response = _stream_response(stream, at)
    response.headers["Last-Event-ID"] = cursor
    return response


@blueprint.patch("/<stream_id>")
@requires(Scope.STREAMS_WRITE)
@operation_id("changeStream")
@document_request(StreamPatch)
@document_headers(ChangeHeaders)
@document_response(StreamDocument, HTTPStatus.OK, VersionHeaders)
@answers(400, 404, 409, 412, 413, 415, 503)
async def change(stream_id: str) -> Response:
    """Change a stream."""
    patch = await body(StreamPatch)
    changed = await services().streams.update(normal_id(stream_id), change_of(patch), precondition(), reach())
    return _stream_response(changed)


@blueprint.delete("/<stream_id>")
@requires(Scope.STREAMS_WRITE)
@operation_id("cancelStream")
@document_headers(ChangeHeaders)
@document_response(StreamDocument, HTTPStatus.OK, VersionHeaders)
@answers(400, 404, 409, 412, 503)
async def cancel(stream_id: str) -> Response:
    """Cancel a stream; one that is cancelled already is returned as it is."""
    return _stream_response(await services().streams.cancel(normal_id(stream_id), precondition(), reach()))


def _stream_response(stream: Stream, at: int | None = None) -> Response:
    response = json_answer(_shown(stream, at))
    response.headers["ETag"] = _etag(stream.version)
    return response


def _shown(stream: Stream, at: int | None) -> dict[str, Any]:
    document = stream.to_json()
    return document if at is None else document | {"accrued": accrual.shown(stream.holding, at)}


def _etag(version: int) -> str:
    return f'"{version}"'


def _page_url(cursor: str) -> str:
    others = [(name, value) for name, value in request.args.items(multi=True) if name != "cursor"]
    return f"{request.root_path}{blueprint.url_prefix}?{urlencode([*others, ('cursor', cursor)])}"


def _idempotency(key: str | None, content: bytes) -> IdempotencyKey | None:
    """Return the request's key, which counts only for who wrote it: another API key may use the same."""
    if key is None:
        return None
    return IdempotencyKey(sha256(f"{g.key_id}|{key}".encode()).hexdigest(), sha256(content).hexdigest())
