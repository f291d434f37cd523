"""What a browser is shown: the live page, and the API's documentation with assets of our own."""

from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Final

from quart import Blueprint, Response, current_app, request, send_from_directory
from quart_schema import hide
from werkzeug.exceptions import NotFound

from app.web.access.policy import public
from app.web.answers import json_answer
from app.web.ops.asyncapi import document
from app.web.services import services

blueprint = Blueprint("pages", __name__)

STATIC: Final = Path(__file__).parents[2] / "static"
ASSETS: Final = ("swagger-ui-bundle.js", "swagger-ui.css")
_HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_DOCS_HEADERS: Final = {
    **_HEADERS,
    # Swagger UI sets styles of its own, has pictures in its style sheet, and makes HTML out of strings.
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
}
_DOCS: Final = """<!doctype html>
<html lang="en">
<head>
  <meta charset="utf-8">
  <meta name="viewport" content="width=device-width, initial-scale=1">
  <title>Fluxora streams: the API</title>
  <link rel="icon" href="{root}/static/icon.svg">
  <link rel="stylesheet" href="{root}/docs/assets/swagger-ui.css">
</head>
<body>
  <div id="swagger-ui" data-url="{root}/openapi.json" data-feed="{root}/sse/streams"></div>
  <script src="{root}/docs/assets/swagger-ui-bundle.js"></script>
  <script src="{root}/static/docs.js"></script>
</body>
</html>
"""


@blueprint.get("/")
@public
@hide
async def live_page() -> Response:
    """Show the feed, live."""
    _only_if(services().settings.live_page)
    return await _ours("index.html")


@blueprint.get("/static/<path:name>")
@public
@hide
async def static_file(name: str) -> Response:
    """Serve the live page's files."""
    return await _ours(name)


@blueprint.get("/favicon.ico")
@public
@hide
async def icon() -> Response:
    """Give every page of the service its icon, also those that don't name one."""
    return await _ours("icon.svg")


@blueprint.get("/docs")
@public
@hide
async def documentation() -> Response:
    """Show the API, to be tried out."""
    _only_if(services().settings.docs)
    page = _DOCS.format(root=escape(request.root_path))
    return Response(page, content_type="text/html; charset=utf-8", headers=_DOCS_HEADERS)


@blueprint.get("/openapi.json")
@public
@hide
async def openapi() -> Response:
    """Describe the API."""
    described = current_app.extensions["QUART_SCHEMA"].openapi_provider.schema()
    described["servers"] = [{"url": request.root_path or "/"}]
    return json_answer(described)


@blueprint.get("/docs/assets/<name>")
@public
@hide
async def documentation_asset(name: str) -> Response:
    """Serve Swagger UI's files from its package: no page of ours loads anything from elsewhere."""
    _only_if(name in ASSETS and services().settings.docs)
    response = await _file(str(files("swagger_ui").joinpath("static")), name)
    response.headers.update(_DOCS_HEADERS)
    return response


@blueprint.get("/asyncapi.json")
@public
@hide
async def asyncapi() -> Response:
    """Describe the two feeds."""
    return json_answer(document(services().settings))


def _only_if(wanted: bool) -> None:  # noqa: FBT001 - a switch of the settings
    if not wanted:
        raise NotFound


async def _ours(name: str) -> Response:
    response = await _file(STATIC, name)
    response.headers.update(_HEADERS)
    return response


async def _file(folder: str | Path, name: str) -> Response:
    try:
        response = await send_from_directory(folder, name)
    except OSError:  # a name that no file system can have
        raise NotFound from None
    # Asked for again each time (304 by its ETag): after a deployment, no page runs with the script of another version.
    response.headers["Cache-Control"] = "no-cache"
    response.headers.pop("Expires", None)
    return response
