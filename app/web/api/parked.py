"""`/api/chain/parked`: items of the chain that wait, because they could not be understood or applied."""

from typing import Annotated, Any, Final

from pydantic import Field
from quart import Blueprint, Response
from quart_schema import document_querystring, document_response, operation_id, tag_blueprint

from app.core.access.grant import Scope
from app.core.chain_port import ParkedItem
from app.core.errors import Forbidden, NotFound
from app.web.access.policy import reach, reads, requires
from app.web.answered import answers
from app.web.answers import json_answer
from app.web.api.chain_documents import ParkedPageDocument
from app.web.api.documents import ResultDocument
from app.web.api.parameters import Number, Query, page_size, page_size_shown, query
from app.web.api.results import shown_result
from app.web.services import services

blueprint = Blueprint("parked", __name__, url_prefix="/api/chain/parked")
tag_blueprint(blueprint, ["Chain"])

_MOST: Final = 500
_DEFAULT: Final = 100
_MOST_ID: Final = 2**63 - 1


class ParkedQuery(Query):
    """Which of the items."""

    after: Annotated[Number, Field(description="`next` of the page before")] = 0
    limit: Annotated[int, page_size(_MOST), page_size_shown(_MOST)] = _DEFAULT


@blueprint.get("")
@reads
@operation_id("listParked")
@document_querystring(ParkedQuery)
@document_response(ParkedPageDocument)
@answers(400, 503)
async def list_parked() -> Response:
    """List what waits, the oldest first."""
    if reach() is not None:
        message = "what waits belongs to no stream yet, so it is for those who may read all"
        raise Forbidden(message)
    asked = query(ParkedQuery)
    items = await services().store.parked(min(asked.after, _MOST_ID), asked.limit)
    following = items[-1].id if len(items) == asked.limit else None
    return json_answer({"parked": [_shown(item) for item in items], "next": following})


@blueprint.post("/<parked_id>/retry")
@requires(Scope.EVENTS_WRITE)
@operation_id("retryParked")
@document_response(ResultDocument)
@answers(404, 503)
async def retry(parked_id: str) -> Response:
    """Try an item again: it is taken, or goes on to wait."""
    if not (parked_id.isascii() and parked_id.isdigit()) or len(parked_id) > len(str(_MOST_ID)):
        message = f"no parked item {parked_id} waits"
        raise NotFound(message)
    return json_answer(shown_result(await services().streams.retry(min(int(parked_id), _MOST_ID))))


def _shown(item: ParkedItem) -> dict[str, Any]:
    return {
        "id": item.id,
        "contractId": item.contract_id,
        "waitsFor": item.missing,
        "why": item.why,
        "message": item.message,
        "item": item.item,
        "place": item.place,
        "createdAt": item.created_at,
        "tries": item.tries,
    }
