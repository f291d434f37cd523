"""Errors as problem documents (RFC 9457): which field, and why."""

from http import HTTPStatus
from typing import Any, Final

import structlog
from quart import Quart, Response
from werkzeug.exceptions import HTTPException

from app.core import errors
from app.web.answers import json_answer

_logger = structlog.get_logger(__name__)

STATUSES: Final[dict[type[errors.FluxoraError], tuple[HTTPStatus, str]]] = {
    errors.InvalidInput: (HTTPStatus.BAD_REQUEST, "invalid-input"),
    errors.NotFound: (HTTPStatus.NOT_FOUND, "not-found"),
    errors.Conflict: (HTTPStatus.CONFLICT, "conflict"),
    errors.Unauthorized: (HTTPStatus.UNAUTHORIZED, "unauthorized"),
    errors.Forbidden: (HTTPStatus.FORBIDDEN, "insufficient-scope"),
    errors.TooManyRequests: (HTTPStatus.TOO_MANY_REQUESTS, "too-many-requests"),
    errors.PreconditionFailed: (HTTPStatus.PRECONDITION_FAILED, "version-mismatch"),
    errors.IdempotencyMismatch: (HTTPStatus.UNPROCESSABLE_ENTITY, "idempotency-mismatch"),
    errors.WriteCollision: (HTTPStatus.SERVICE_UNAVAILABLE, "write-collision"),
    errors.CursorExpired: (HTTPStatus.GONE, "cursor-expired"),
    errors.Unavailable: (HTTPStatus.SERVICE_UNAVAILABLE, "unavailable"),
}

_FAILED: Final = HTTPStatus.INTERNAL_SERVER_ERROR, "internal"
_CONTENT_TYPE: Final = "application/problem+json"


def problem_of(status: int, slug: str, detail: str, **members: Any) -> dict[str, Any]:
    """Return a problem document's members."""
    title = HTTPStatus(status).phrase
    return {"type": f"urn:fluxora:problem:{slug}", "title": title, "status": status, "detail": detail, **members}


def problem(status: int, slug: str, detail: str, *, retry_after: int | None = None, **members: Any) -> Response:
    """Return a problem document as a response."""
    response = json_answer(problem_of(status, slug, detail, **members), status, _CONTENT_TYPE)
    if retry_after is not None:
        response.headers["Retry-After"] = str(retry_after)
    return response


def describe(error: errors.FluxoraError) -> dict[str, Any]:
    """Return the problem document's members for one of the core's errors; a kind of one is answered like it."""
    status, slug = next((STATUSES[kind] for kind in type(error).__mro__ if kind in STATUSES), _FAILED)
    members: dict[str, Any] = {}
    if isinstance(error, errors.InvalidInput):
        members["errors"] = [{"field": each.field, "message": each.message} for each in error.errors]
    elif isinstance(error, errors.Conflict) and error.field:
        members["errors"] = [{"field": error.field, "message": str(error)}]
    elif isinstance(error, errors.CursorExpired):
        members["reason"] = error.reason
    return problem_of(status, slug, str(error), **members)


def respond(error: errors.FluxoraError) -> Response:
    """Return one of the core's errors as a response."""
    members = describe(error)
    response = json_answer(members, members["status"], _CONTENT_TYPE)
    if members["status"] == HTTPStatus.INTERNAL_SERVER_ERROR:
        _logger.error("request_failed", exc_info=error)
    if members["status"] in {HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.TOO_MANY_REQUESTS}:
        response.headers["Retry-After"] = str(getattr(error, "retry_after", 1))
    if isinstance(error, errors.Unauthorized | errors.Forbidden):
        response.headers["WWW-Authenticate"] = _challenge(error)
    return response


def _challenge(error: errors.Unauthorized | errors.Forbidden) -> str:
    """Return what RFC 6750, 3 has a client told."""
    realm = 'Bearer realm="fluxora"'
    if isinstance(error, errors.Forbidden):
        return f'{realm}, error="insufficient_scope"' + (f', scope="{error.scope}"' if error.scope else "")
    return f'{realm}, error="invalid_token"' if error.bad else realm


def register(app: Quart) -> None:
    """Let every error of this app become a problem document."""
    app.register_error_handler(errors.FluxoraError, _fluxora_error)
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(Exception, _unexpected)


async def _fluxora_error(error: errors.FluxoraError) -> Response:
    return respond(error)


async def _http_error(error: HTTPException) -> Any:
    if error.response is not None:
        return error.response
    code = error.code or HTTPStatus.INTERNAL_SERVER_ERROR
    response = problem(code, HTTPStatus(code).phrase.lower().replace(" ", "-"), error.description or error.name)
    for name, value in error.get_headers():
        if name not in ("Content-Type", "Content-Length"):
            response.headers[name] = value
    return response


async def _unexpected(error: Exception) -> Response:
    _logger.error("request_failed", exc_info=error)
    return problem(HTTPStatus.INTERNAL_SERVER_ERROR, "internal", "the service failed; the log has the reason")
