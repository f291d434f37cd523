"""`/api/connections`: who is connected, in every process, and how to end it."""

import os
import socket
import time
from http import HTTPStatus
from operator import itemgetter
from typing import Annotated, Any, Final

from pydantic import Field
from quart import Blueprint, Response, g, request
from quart_schema import document_querystring, document_response, operation_id, tag_blueprint

from app.core.access.grant import Scope, chosen_of
from app.core.clock import timestamp_of
from app.core.errors import FieldError, InvalidInput
from app.web.access.policy import actor_of, requires
from app.web.access.roll_call import Asked
from app.web.answered import answers
from app.web.answers import json_answer
from app.web.api.access_documents import ConnectionsDocument
from app.web.api.parameters import Query, named, page_size, page_size_shown, query
from app.web.services import Connected, Services, services

blueprint = Blueprint("connections", __name__, url_prefix="/api/connections")
tag_blueprint(blueprint, ["Administration"])

_KICK_SECONDS: Final = 60.0
_MOST: Final = 10_000
_DEFAULT: Final = 1000


class ConnectionsQuery(Query):
    """Which connections."""

    principal: Annotated[str | None, Field(description="whose", examples=["key:3f9a1c5e7b20"])] = None
    limit: Annotated[int, page_size(_MOST), page_size_shown(_MOST)] = _DEFAULT


@blueprint.get("")
@requires(Scope.ADMIN)
@operation_id("listConnections")
@document_querystring(ConnectionsQuery)
@document_response(ConnectionsDocument)
@answers(400, 401, 403, 503)
async def list_connections() -> Response:
    """List the open connections of every process, the oldest first. The processes are asked: that takes a second."""
    running, given = services(), query(ConnectionsQuery)
    principal = None if given.principal is None else named("principal", given.principal)
    asked = Asked(principal, given.limit)
    answered = [*await running.roll_call.ask(asked), listed(running, asked)]
    found = sorted((one for each in answered for one in each["connections"]), key=itemgetter("since", "id"))
    processes = sorted((each["process"] for each in answered), key=itemgetter("host", "process"))
    return json_answer({"connections": found[: asked.limit], "processes": processes})


@blueprint.delete("/<connection_id>")
@requires(Scope.ADMIN)
@operation_id("endConnection")
@answers(204, 400, 401, 403, 503)
async def end_connection(connection_id: str) -> Response:
    """End a connection, in whichever process it is."""
    return await _end(f"connection:{named('connection_id', connection_id)}")


@blueprint.delete("")
@requires(Scope.ADMIN)
@operation_id("endConnections")
@answers(204, 400, 401, 403, 503)
async def end_connections() -> Response:
    """End all connections of `?principal=`, in every process."""
    principal = request.args.get("principal", "")
    if not principal or len(request.args) > 1:
        raise InvalidInput(FieldError("principal", "say whose connections are to end, and nothing else"))
    return await _end(f"principal:{named('principal', principal)}")


def listed(running: Services, asked: Asked) -> dict[str, Any]:
    """Return this process's part of the list."""
    everybody = list(running.connections)
    wanted = [each for each in everybody if asked.principal in {None, each.principal.id}]
    head, here = running.hub.head, {"host": socket.gethostname(), "process": os.getpid()}
    shown = sorted(wanted, key=lambda each: each.began_at)[: asked.limit]
    return {
        "connections": [here | _connection(each, head) for each in shown],
        "process": {**here, "open": len(everybody)},
    }


async def _end(what: str) -> Response:
    running = services()
    await running.gate.store.revoke(what, time.time() + _KICK_SECONDS, actor_of(g.principal, ended=what))
    await running.connections.end(what)
    return Response(status=HTTPStatus.NO_CONTENT)


def _connection(each: Connected, head: int) -> dict[str, Any]:
    subscription = each.subscription
    return {
        "id": each.id,
        "principal": each.principal.id,
        "address": each.address,
        "transport": each.transport,
        **chosen_of(subscription.wanted).to_json(),
        "since": each.began_at,
        "cursor": None if subscription.cursor is None else str(subscription.cursor),
        "lag": max(0, head - subscription.position.seq),
        "bytes": each.watched.connection.written,
        "expiresAt": timestamp_of(each.principal.expires_at),
    }
