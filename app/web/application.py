"""The Quart app: routes, errors, documentation."""

from functools import partial

from quart import Quart, Response
from quart_schema import QuartSchema

from app import __version__
from app.web import problems
from app.web.api import access, administration, connections, events, parked, service, streams
from app.web.body_limit import request_class
from app.web.feed import sse, websocket
from app.web.ops import health, pages
from app.web.ops.openapi import SECURITY_SCHEMES, OpenAPI
from app.web.representation import represented
from app.web.request_log import RequestLog
from app.web.request_traces import RequestTraces
from app.web.root_path import RootPath
from app.web.services import EXTENSION, Services
from app.web.unread_body import AnswerAfterBody


def create_quart(running: Services) -> Quart:
    """Return the app around running services."""
    app = Quart("app", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = running.settings.max_body_bytes
    app.request_class = request_class(running.settings.max_events_body_bytes)
    app.url_map.strict_slashes = False
    # Merging slashes answers with a redirect to whatever host the client named.
    app.url_map.merge_slashes = False
    QuartSchema(
        app,
        openapi_path=None,
        swagger_ui_path=None,
        redoc_ui_path=None,
        scalar_ui_path=None,
        info={"title": "Fluxora streams", "version": __version__},
        security_schemes=SECURITY_SCHEMES,
        openapi_provider_class=OpenAPI,
    )
    app.extensions[EXTENSION] = running
    api = (streams, events, parked, access, administration, connections, service)
    for module in (*api, health, pages, sse, websocket):
        app.register_blueprint(module.blueprint)
    problems.register(app)
    handlers = AnswerAfterBody(app.asgi_app, running.feed.closed)
    app.asgi_app = RootPath(handlers, running.settings.root_path.rstrip("/"))  # type: ignore[method-assign]
    log = RequestLog(running)
    log.register(app)
    if running.traces is not None:
        RequestTraces(running.traces).register(app)
    running.hosts.register(app)
    running.origins.register(app)
    app.after_request(partial(_end, running, log))
    return app


async def _end(running: Services, log: RequestLog, response: Response) -> Response:
    response = await represented(response)
    running.origins.mark(response)
    running.rates.mark(response)
    # What we answer is of the type that we say: no browser takes a stream's memo for a page.
    response.headers.setdefault("X-Content-Type-Options", "nosniff")
    log.end(response)
    return response
