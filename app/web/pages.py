"""What a browser is shown: the live page, and the API's documentation with assets of our own."""

from http import HTTPStatus
from importlib.resources import files
from pathlib import Path
from typing import Final

from quart import Blueprint, Response, send_from_directory
from quart_schema import hide

from app.web.asyncapi import document
from app.web.services import services

blueprint = Blueprint("pages", __name__)

STATIC: Final = Path(__file__).parent.parent / "static"
ASSETS: Final = ("swagger-ui-bundle.js", "swagger-ui.css")
_POLICY: Final = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'"


@blueprint.get("/")
@hide
async def live_page() -> Response:
    """Show the feed, live."""
    response = await send_from_directory(STATIC, "index.html")
    response.headers["Content-Security-Policy"] = _POLICY
    response.headers["Cache-Control"] = "no-cache"
    return response


@blueprint.get("/static/<path:name>")
@hide
async def static_file(name: str) -> Response:
    """Serve the live page's files."""
    return await send_from_directory(STATIC, name)


@blueprint.get("/docs/assets/<name>")
@hide
async def documentation_asset(name: str) -> Response:
    """Serve Swagger UI's files from its package: no page of ours loads anything from elsewhere."""
    if name not in ASSETS:
        return Response(status=HTTPStatus.NOT_FOUND)
    return await send_from_directory(str(files("swagger_ui").joinpath("static")), name)


@blueprint.get("/asyncapi.json")
@hide
async def asyncapi() -> Response:
    """Describe the two feeds."""
    return Response(document(services().settings), content_type="application/json")
