"""What a browser is shown: the live page, and the API's documentation with assets of our own."""

from importlib.resources import files
from pathlib import Path
from typing import Final

from quart import Blueprint, Response, send_from_directory
from quart_schema import hide
from werkzeug.exceptions import NotFound

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


@blueprint.get("/")
@hide
async def live_page() -> Response:
    """Show the feed, live."""
    return await _ours("index.html")


@blueprint.get("/static/<path:name>")
@hide
async def static_file(name: str) -> Response:
    """Serve the live page's files."""
    return await _ours(name)


@blueprint.get("/favicon.ico")
@hide
async def icon() -> Response:
    """Give every page of the service its icon, also those that don't name one."""
    return await _ours("icon.svg")


@blueprint.get("/docs/assets/<name>")
@hide
async def documentation_asset(name: str) -> Response:
    """Serve Swagger UI's files from its package: no page of ours loads anything from elsewhere."""
    if name not in ASSETS:
        raise NotFound
    return await _file(str(files("swagger_ui").joinpath("static")), name)


@blueprint.get("/asyncapi.json")
@hide
async def asyncapi() -> Response:
    """Describe the two feeds."""
    return Response(document(services().settings), content_type="application/json")


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
