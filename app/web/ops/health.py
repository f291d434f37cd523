"""How the service is: `/health` for people and monitors, `/health/live` and `/health/ready` for platforms."""

import os
from dataclasses import asdict
from http import HTTPStatus
from typing import Any

import orjson
from quart import Blueprint, Response
from quart_schema import hide

from app import __version__
from app.core.relay import DATABASE
from app.web.access.policy import public
from app.web.ops.metrics import render
from app.web.services import Services, services

blueprint = Blueprint("health", __name__)


@blueprint.get("/health")
@public
async def health() -> Response:
    """Return status, live connection counts, how far log and feed are, and the database's latency."""
    running = services()
    lag = running.relay.lag
    outages = [{key: value for key, value in asdict(each).items() if key != "message"} for each in running.outages]
    return _answer(
        running,
        process=os.getpid(),
        version=__version__,
        wsConnections=running.guard.by_transport["websocket"],
        sseConnections=running.guard.by_transport["sse"],
        workers=_workers(running),
        log={
            "epoch": running.hub.epoch,
            "head": str(running.hub.cursor),
            "committed": str(running.relay.committed),
            "lagEvents": lag.events,
            "lagSeconds": round(lag.seconds, 3),
        },
        database={"reachable": DATABASE not in running.outages, "latencyMs": running.relay.latency_ms},
        outages=outages,
        **({"chain": _chain(running)} if running.chain.polled else {}),
    )


@blueprint.get("/health/live")
@public
async def live() -> Response:
    """Say that the event loop turns."""
    return _json(HTTPStatus.OK, {"status": "ok"})


@blueprint.get("/health/ready")
@public
async def ready() -> Response:
    """Say whether requests should be sent here: not while shutting down, without a database, or far behind the log."""
    running = services()
    fit = not (running.draining or _lags(running) or DATABASE in running.outages)
    return _json(HTTPStatus.OK if fit else HTTPStatus.SERVICE_UNAVAILABLE, {"status": _status(running)})


@blueprint.get("/metrics")
@public
@hide
async def metrics() -> Response:
    """Return Prometheus metrics."""
    content, content_type = render(services())
    return Response(content, content_type=content_type)


def _chain(running: Services) -> dict[str, Any]:
    progress = running.chain.progress
    chain = running.chain
    leader = bool(progress and progress.leader)
    shown: dict[str, Any] = {"parked": chain.parked, "leader": leader, "ledger": chain.ledger, "gap": chain.gap}
    if progress and progress.leader:
        shown |= {
            "ledger": progress.position,
            "head": progress.head,
            "lagLedgers": progress.lag_ledgers,
            "lagSeconds": round(progress.lag_seconds, 1),
            "node": progress.provider,
        }
    return shown


def _workers(running: Services) -> list[dict[str, int]]:
    """Return all processes on this port, of which this one answers."""
    own = {os.getpid(): running.guard.by_transport}
    counts = {each.process: each.by_transport for each in running.workers.members} if running.workers else own
    return [
        {"process": process, "wsConnections": open_.get("websocket", 0), "sseConnections": open_.get("sse", 0)}
        for process, open_ in counts.items()
    ]


def _answer(running: Services, **members: Any) -> Response:
    code = HTTPStatus.SERVICE_UNAVAILABLE if running.draining else HTTPStatus.OK
    return _json(code, {"status": _status(running), **members})


def _status(running: Services) -> str:
    if running.draining:
        return "shutting_down"
    return "degraded" if any(running.outages) or _lags(running) else "ok"


def _lags(running: Services) -> bool:
    return running.relay.lag.seconds > running.settings.max_log_lag


def _json(status: int, document: dict[str, Any]) -> Response:
    # A line of its own in a terminal.
    response = Response(orjson.dumps(document) + b"\n", status, content_type="application/json")
    response.headers["Cache-Control"] = "no-store"
    return response
