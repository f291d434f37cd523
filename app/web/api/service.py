"""`/api/service`: what an operator or the indexer says of things outside."""

from http import HTTPStatus

from quart import Blueprint, Response, g
from quart_schema import document_request, operation_id, tag_blueprint

from app.core.access.grant import Scope
from app.core.chain_port import STELLAR_RPC
from app.core.errors import Conflict
from app.core.relay import DATABASE
from app.web.access.policy import actor_of, requires
from app.web.answered import answers
from app.web.api.body import body
from app.web.api.requests import OutageReport
from app.web.services import services

blueprint = Blueprint("outages", __name__, url_prefix="/api/service")
tag_blueprint(blueprint, ["Service"])


@blueprint.post("/degraded")
@requires(Scope.SERVICE_WRITE)
@operation_id("reportDegraded")
@document_request(OutageReport)
@answers(204, 400, 409, 413, 415)
async def degraded() -> Response:
    """Tell every client that something is out of order; telling the same again changes nothing."""
    report = await body(OutageReport)
    _refuse_own(report.source)
    await services().gate.store.note(actor_of(g.principal, source=report.source))
    services().outages.begin(report.source, report.reason)
    return Response(status=HTTPStatus.NO_CONTENT)


@blueprint.post("/recovered")
@requires(Scope.SERVICE_WRITE)
@operation_id("reportRecovered")
@document_request(OutageReport)
@answers(204, 400, 409, 413, 415)
async def recovered() -> Response:
    """Tell every client that it works again."""
    report = await body(OutageReport)
    _refuse_own(report.source)
    await services().gate.store.note(actor_of(g.principal, source=report.source))
    services().outages.end(report.source, report.reason)
    return Response(status=HTTPStatus.NO_CONTENT)


def _refuse_own(source: str) -> None:
    watched = {DATABASE, STELLAR_RPC} if services().chain.polled else {DATABASE}
    if source in watched:
        message = f"the service itself watches {source}; name another source"
        raise Conflict(message, field="source")
