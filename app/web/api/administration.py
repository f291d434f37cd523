"""`/api/keys`, `/api/revocations`, `/api/audit`: for whoever runs the service."""

import time
from dataclasses import asdict
from http import HTTPStatus
from typing import Annotated, Any, Final

import orjson
from pydantic import Field
from quart import Blueprint, Response, g, request
from quart_schema import document_querystring, document_request, document_response, operation_id, tag_blueprint

from app.core.access.grant import Limit, Scope
from app.core.access.ports import ApiKey
from app.core.clock import timestamp_of
from app.web.access.key_office import KeyOffice
from app.web.access.policy import actor_of, requires
from app.web.answered import answers
from app.web.answers import json_answer
from app.web.api.access_documents import (
    AuditPageDocument,
    KeyDocument,
    KeysDocument,
    NewKeyDocument,
)
from app.web.api.body import body
from app.web.api.parameters import Number, Query, named, page_size, page_size_shown, query
from app.web.api.requests import KeyRotation, NewKey, NewRevocation
from app.web.services import services

blueprint = Blueprint("administration", __name__, url_prefix="/api")
tag_blueprint(blueprint, ["Administration"])

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
    secret, key = await _office().rotate(named("key_id", key_id), asked.grace, actor_of(g.principal))
    await services().gate.keyring.look()
    return json_answer(_shown(key) | {"key": secret}, HTTPStatus.CREATED)


@blueprint.delete("/keys/<key_id>")
@requires(Scope.ADMIN)
@operation_id("revokeKey")
@document_response(KeyDocument, HTTPStatus.NO_CONTENT)
@answers(204, 400, 401, 403, 404, 503)
async def revoke_key(key_id: str) -> Response:
    """Revoke a key: it counts no more, and its connections end, in every process, within a second."""
    await _office().revoke(named("key_id", key_id), actor_of(g.principal))
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


def _office() -> KeyOffice:
    return KeyOffice(services().gate.store)


def _shown(key: ApiKey) -> dict[str, Any]:
    return {
        "id": key.id,
        "name": key.name,
        "scopes": sorted(key.scopes),
        "limit": None if key.limit is None else key.limit.to_json(),
        "createdAt": timestamp_of(key.created_at),
        "expiresAt": timestamp_of(key.expires_at),
        "revokedAt": timestamp_of(key.revoked_at),
        "lastUsedAt": timestamp_of(key.last_used_at),
    }


def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(word.title() for word in rest)
