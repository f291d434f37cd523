"""`/api/keys`, `/api/revocations`, `/api/connections`, `/api/audit`: for whoever runs the service."""

import os
import time
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated, Any, Final

import orjson
from pydantic import Field
from quart import Blueprint, Response, g, request
from quart_schema import document_querystring, document_request, document_response, operation_id, tag_blueprint

from app.core.access.grant import Limit, Scope, chosen_of
from app.core.access.ports import ApiKey
from app.core.clock import timestamp
from app.core.errors import FieldError, InvalidInput
from app.web.access.key_office import KeyOffice
from app.web.access.policy import actor_of, requires
from app.web.answered import answers
from app.web.answers import json_answer
from app.web.api.access_documents import (
    AuditPageDocument,
    ConnectionsDocument,
    KeyDocument,
    KeysDocument,
    NewKeyDocument,
)
from app.web.api.body import body
from app.web.api.parameters import Number, Query, page_size, page_size_shown, query
from app.web.api.requests import KeyRotation, NewKey, NewRevocation
from app.web.services import Connected, services

blueprint = Blueprint("administration", __name__, url_prefix="/api")
tag_blueprint(blueprint, ["Administration"])

_KICK_SECONDS: Final = 60.0
_LONGEST_NAME: Final = 512
_MOST: Final = 1000
_DEFAULT: Final = 100
_NDJSON: Final = "application/x-ndjson"


@blueprint.get("/keys")
@requires(Scope.ADMIN)
@operation_id("listKeys")
@document_response(KeysDocument)
@answers(401, 403, 503)
async def list_keys() -> Response:
    """List the keys of the database, never their secrets."""
    return json_answer({"keys": [_shown(key) for key in await services().gate.store.keys()]})


@blueprint.post("/keys")
@requires(Scope.ADMIN)
@operation_id("createKey")
@document_request(NewKey)
@document_response(NewKeyDocument, HTTPStatus.CREATED)
@answers(400, 401, 403, 413, 415, 503)
async def create_key() -> Response:
    """Make a key; it is shown this once."""
    asked = await body(NewKey)
    limit = Limit(frozenset(asked.own), frozenset(asked.stream_ids), frozenset(asked.contracts))
    secret, key = await _office().create(
        asked.name, asked.scopes, None if limit == Limit() else limit, asked.expires_in, actor_of(g.principal)
    )
    await services().gate.keyring.look()
    return json_answer(_shown(key) | {"key": secret}, HTTPStatus.CREATED)


@blueprint.post("/keys/<key_id>/rotate")
@requires(Scope.ADMIN)
@operation_id("rotateKey")
@document_request(KeyRotation)
@document_response(NewKeyDocument, HTTPStatus.CREATED)
@answers(400, 401, 403, 404, 413, 415, 503)
async def rotate_key(key_id: str) -> Response:
    """Make a key with the same rights; the old one ends after a grace time."""
    asked = await body(KeyRotation)
    secret, key = await _office().rotate(_named("key_id", key_id), asked.grace, actor_of(g.principal))
    await services().gate.keyring.look()
    return json_answer(_shown(key) | {"key": secret}, HTTPStatus.CREATED)


@blueprint.delete("/keys/<key_id>")
@requires(Scope.ADMIN)
@operation_id("revokeKey")
@document_response(KeyDocument, HTTPStatus.NO_CONTENT)
@answers(204, 400, 401, 403, 404, 503)
async def revoke_key(key_id: str) -> Response:
    """Revoke a key: it counts no more, and its connections end, in every process, within a second."""
    await _office().revoke(_named("key_id", key_id), actor_of(g.principal))
    await services().gate.keyring.look()
    return Response(status=HTTPStatus.NO_CONTENT)


@blueprint.post("/revocations")
@requires(Scope.ADMIN)
@operation_id("revokeToken")
@document_request(NewRevocation)
@answers(204, 400, 401, 403, 413, 415, 503)
async def revoke_token() -> Response:
    """Revoke a token by its `jti`."""
    asked = await body(NewRevocation)
    actor = actor_of(g.principal, jti=asked.jti)
    await services().gate.store.revoke(f"jti:{asked.jti}", time.time() + asked.seconds, actor)
    return Response(status=HTTPStatus.NO_CONTENT)


@blueprint.get("/connections")
@requires(Scope.ADMIN)
@operation_id("listConnections")
@document_response(ConnectionsDocument)
@answers(401, 403, 503)
async def list_connections() -> Response:
    """List the open connections of the process that answers."""
    running = services()
    found = [_connection(each, running.hub.head) for each in running.connections]
    return json_answer({"connections": found})


@blueprint.delete("/connections/<connection_id>")
@requires(Scope.ADMIN)
@operation_id("endConnection")
@answers(204, 400, 401, 403, 503)
async def end_connection(connection_id: str) -> Response:
    """End a connection, in whichever process it is."""
    return await _kick(f"connection:{_named('connection_id', connection_id)}")


@blueprint.delete("/connections")
@requires(Scope.ADMIN)
@operation_id("endConnections")
@answers(204, 400, 401, 403, 503)
async def end_connections() -> Response:
    """End all connections of `?principal=`, in every process."""
    principal = request.args.get("principal", "")
    if not principal or len(request.args) > 1:
        raise InvalidInput(FieldError("principal", "say whose connections are to end, and nothing else"))
    return await _kick(f"principal:{_named('principal', principal)}")


class AuditQuery(Query):
    """Which records."""

    after: Annotated[Number, Field(description="`next` of the page before")] = 0
    limit: Annotated[int, page_size(_MOST), page_size_shown(_MOST)] = _DEFAULT


@blueprint.get("/audit")
@requires(Scope.AUDIT_READ)
@operation_id("readAudit")
@document_querystring(AuditQuery)
@document_response(AuditPageDocument)
@answers(400, 401, 403, 503)
async def audit() -> Response:
    """Read the record of who did what, oldest first; as NDJSON for who accepts that."""
    asked = query(AuditQuery)
    records = await services().gate.store.audit(min(asked.after, 2**63 - 1), asked.limit)
    shown = [{_camel(name): value for name, value in asdict(each).items()} for each in records]
    if request.accept_mimetypes.best_match(["application/json", _NDJSON]) == _NDJSON:
        return Response(b"".join(orjson.dumps(each) + b"\n" for each in shown), content_type=_NDJSON)
    return json_answer({"records": shown, "next": records[-1].id if len(records) == asked.limit else None})


def _named(field: str, text: str) -> str:
    """Return a name, or raise InvalidInput: none that we give out has controls in it, or is so long."""
    if not text.isprintable() or len(text) > _LONGEST_NAME:
        raise InvalidInput(FieldError(field, f"must be at most {_LONGEST_NAME} printable characters"))
    return text


def _office() -> KeyOffice:
    return KeyOffice(services().gate.store)


async def _kick(what: str) -> Response:
    running = services()
    await running.gate.store.revoke(what, time.time() + _KICK_SECONDS, actor_of(g.principal, ended=what))
    running.connections.end(what)
    return Response(status=HTTPStatus.NO_CONTENT)


def _shown(key: ApiKey) -> dict[str, Any]:
    return {
        "id": key.id,
        "name": key.name,
        "scopes": sorted(key.scopes),
        "limit": None if key.limit is None else key.limit.to_json(),
        "createdAt": _time(key.created_at),
        "expiresAt": _time(key.expires_at),
        "revokedAt": _time(key.revoked_at),
        "lastUsedAt": _time(key.last_used_at),
    }


def _connection(each: Connected, head: int) -> Mapping[str, Any]:
    subscription = each.subscription
    return {
        "id": each.id,
        "process": os.getpid(),
        "principal": each.principal.id,
        "address": each.address,
        "transport": each.transport,
        **chosen_of(subscription.wanted).to_json(),
        "since": each.began_at,
        "cursor": None if subscription.cursor is None else str(subscription.cursor),
        "lag": max(0, head - subscription.position.seq),
        "bytes": each.watched.connection.written,
        "expiresAt": _time(each.principal.expires_at),
    }


def _time(seconds: float | None) -> str | None:
    return None if seconds is None else timestamp(datetime.fromtimestamp(seconds, UTC))


def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(word.title() for word in rest)
