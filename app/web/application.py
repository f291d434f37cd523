"""The Quart app: routes, errors, request ids, documentation."""

import re
from typing import Final
from uuid import uuid4

import structlog
from quart import Quart, Response, g, request
from quart_cors import cors
from quart_schema import QuartSchema

from app import __version__
from app.web import problems
from app.web.api import events, service, streams
from app.web.feed import sse, websocket
from app.web.ops import health, pages
from app.web.ops.openapi import SECURITY_SCHEMES, OpenAPI
from app.web.services import EXTENSION, Services
from app.web.unread_body import AnswerAfterBody

_REQUEST_ID: Final = re.compile(r"[0-9A-Za-z_.-]{1,128}")
_logger = structlog.get_logger(__name__)


def create_quart(services: Services) -> Quart:
    """Return the app around running services."""
    app = Quart("app", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = services.settings.max_body_bytes
    app.config["QUART_SCHEMA_SWAGGER_JS_URL"] = "/docs/assets/swagger-ui-bundle.js"
    app.config["QUART_SCHEMA_SWAGGER_CSS_URL"] = "/docs/assets/swagger-ui.css"
    app.url_map.strict_slashes = False
    # Merging slashes answers with a redirect to whatever host the client named.
    app.url_map.merge_slashes = False
    QuartSchema(
        app,
        redoc_ui_path=None,
        scalar_ui_path=None,
        info={"title": "Fluxora streams", "version": __version__},
        security_schemes=SECURITY_SCHEMES,
        openapi_provider_class=OpenAPI,
    )
    app.extensions[EXTENSION] = services
    for module in (streams, events, service, health, pages, sse, websocket):
        app.register_blueprint(module.blueprint)
    problems.register(app)
    app.asgi_app = AnswerAfterBody(app.asgi_app, services.feed.closed)  # type: ignore[method-assign]
    app.before_request(_begin)
    app.after_request(_end)
    if services.settings.cors_origins:
        cors(
            app,
            allow_origin=services.settings.cors_origins,
            allow_headers=[
                "Authorization",
                "X-API-Key",
                "Content-Type",
                "Idempotency-Key",
                "If-Match",
                "Last-Event-ID",
            ],
            allow_methods=["GET", "POST", "PATCH", "DELETE"],
            expose_headers=["ETag", "Last-Event-ID", "Location", "X-Request-ID", "Retry-After"],
        )
    return app


async def _begin() -> None:
    given = request.headers.get("X-Request-ID", "")
    g.request_id = given if _REQUEST_ID.fullmatch(given) else uuid4().hex
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(request_id=g.request_id)


async def _end(response: Response) -> Response:
    if request_id := g.get("request_id"):
        response.headers["X-Request-ID"] = request_id
    if request.method not in ("GET", "HEAD"):
        _logger.info("request", method=request.method, path=request.path, status=response.status_code)
    return response
