"""`/api/session` and `/api/tickets`: what a browser shows instead of a key or a token."""

from http import HTTPStatus

from quart import Blueprint, Response, g, request
from quart_schema import document_response, operation_id, tag_blueprint

from app.core.access.principal import Principal
from app.core.errors import FieldError, InvalidInput, Unauthorized
from app.web.access.credentials import COOKIE
from app.web.access.policy import actor_of, reads
from app.web.answered import answers
from app.web.answers import json_answer
from app.web.api.access_documents import SessionDocument, TicketDocument
from app.web.services import services

blueprint = Blueprint("access", __name__, url_prefix="/api")
tag_blueprint(blueprint, ["Access"])

_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


@blueprint.post("/tickets")
@reads
@operation_id("createTicket")
@document_response(TicketDocument, HTTPStatus.CREATED)
@answers(401, 403, 429, 503)
async def ticket() -> Response:
    """Give a ticket: `?ticket=` opens one feed, once, within its seconds, in any process."""
    running, principal = services(), _known()
    secret, seconds = await running.gate.ticket_for(principal)
    await running.gate.store.note(actor_of(principal))
    return json_answer({"ticket": secret, "expiresIn": seconds}, HTTPStatus.CREATED)


@blueprint.post("/session")
@reads
@operation_id("createSession")
@document_response(SessionDocument, HTTPStatus.CREATED)
@answers(400, 401, 403, 429, 503)
async def begin() -> Response:
    """Set a cookie that stands for the key or token that is shown; it ends with that."""
    running, principal = services(), _known()
    if request.scheme != "https" and not _over_loopback() and "X-Forwarded-Proto" not in request.headers:
        message = "a browser keeps this cookie over HTTPS alone; put TLS in front, or show the token itself"
        raise InvalidInput(FieldError("scheme", message))
    secret, seconds = await running.gate.session_for(principal)
    await running.gate.store.note(actor_of(principal))
    response = json_answer({"expiresIn": seconds}, HTTPStatus.CREATED)
    response.set_cookie(COOKIE, secret, max_age=seconds, path="/", secure=True, httponly=True, samesite="Strict")
    return response


@blueprint.delete("/session")
@reads
@operation_id("endSession")
@answers(204, 401, 403, 429, 503)
async def end() -> Response:
    """End the cookie's session."""
    if session := request.cookies.get(COOKIE):
        await services().gate.end_session(session)
    else:
        _known()
    response = Response(status=HTTPStatus.NO_CONTENT)
    response.delete_cookie(COOKIE, path="/", secure=True, httponly=True, samesite="Strict")
    return response


def _known() -> Principal:
    principal: Principal = g.principal
    if not principal.known:
        message = "this needs a key or a token: Authorization: Bearer <key>, or X-API-Key"
        raise Unauthorized(message, bad=False)
    return principal


def _over_loopback() -> bool:
    host = request.host.rpartition(":")[0] if request.host.count(":") == 1 else request.host
    return host.strip("[]") in _LOOPBACK
