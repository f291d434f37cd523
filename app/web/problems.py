"""Errors as problem documents (RFC 9457): which field, and why."""

from http import HTTPStatus
from typing import Any

import orjson
import structlog
from pydantic import ValidationError
from quart import Quart, Response
from werkzeug.exceptions import HTTPException

from app.core import errors
from app.core.errors import FieldError

_logger = structlog.get_logger(__name__)

_STATUSES: dict[type[errors.FluxoraError], tuple[HTTPStatus, str]] = {
    errors.InvalidInput: (HTTPStatus.BAD_REQUEST, "invalid-input"),
    errors.NotFound: (HTTPStatus.NOT_FOUND, "not-found"),
    errors.Conflict: (HTTPStatus.CONFLICT, "conflict"),
    errors.PreconditionFailed: (HTTPStatus.PRECONDITION_FAILED, "version-mismatch"),
    errors.IdempotencyMismatch: (HTTPStatus.UNPROCESSABLE_ENTITY, "idempotency-mismatch"),
    errors.WriteCollision: (HTTPStatus.SERVICE_UNAVAILABLE, "write-collision"),
    errors.CursorExpired: (HTTPStatus.GONE, "cursor-expired"),
    errors.Unavailable: (HTTPStatus.SERVICE_UNAVAILABLE, "unavailable"),
}


def problem_of(status: int, slug: str, detail: str, **members: Any) -> dict[str, Any]:
    """Return a problem document's members."""
    title = HTTPStatus(status).phrase
    return {"type": f"urn:fluxora:problem:{slug}", "title": title, "status": status, "detail": detail, **members}


def problem(status: int, slug: str, detail: str, *, retry_after: int | None = None, **members: Any) -> Response:
    """Return a problem document as a response."""
    body = orjson.dumps(problem_of(status, slug, detail, **members))
    response = Response(body, status, content_type="application/problem+json")
    if retry_after is not None:
        response.headers["Retry-After"] = str(retry_after)
    return response


def describe(error: errors.FluxoraError) -> dict[str, Any]:
    """Return the problem document's members for one of the core's errors."""
    status, slug = _STATUSES[type(error)]
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
    response = Response(orjson.dumps(members), members["status"], content_type="application/problem+json")
    if members["status"] == HTTPStatus.SERVICE_UNAVAILABLE:
        response.headers["Retry-After"] = str(getattr(error, "retry_after", 1))
    return response


def field_errors(error: ValidationError) -> list[FieldError]:
    """Return what pydantic found, with the fields as the client wrote them."""
    found = []
    for each in error.errors(include_url=False, include_input=False):
        location = [str(part) for part in each["loc"] if part not in _UNION_TAGS]
        cause = each.get("ctx", {}).get("error")
        found.append(FieldError(".".join(location) or "body", str(cause or each["msg"])))
    return found


_UNION_TAGS = frozenset({"StreamCreated", "StreamUpdated", "StreamCancelled"})


def register(app: Quart) -> None:
    """Let every error of this app become a problem document."""
    app.register_error_handler(errors.FluxoraError, _fluxora_error)
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(Exception, _unexpected)


async def _fluxora_error(error: errors.FluxoraError) -> Response:
    return respond(error)


async def _http_error(error: HTTPException) -> Response:
    code = error.code or HTTPStatus.INTERNAL_SERVER_ERROR
    response = problem(code, HTTPStatus(code).phrase.lower().replace(" ", "-"), error.description or error.name)
    for name, value in error.get_headers():
        if name not in ("Content-Type", "Content-Length"):
            response.headers[name] = value
    return response


async def _unexpected(error: Exception) -> Response:
    _logger.error("request_failed", exc_info=error)
    return problem(HTTPStatus.INTERNAL_SERVER_ERROR, "internal", "the service failed; the log has the reason")
