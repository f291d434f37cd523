"""Request bodies, read."""

from http import HTTPStatus
from typing import Final, TypeVar, cast

from pydantic import ValidationError
from quart import Response, request
from werkzeug.exceptions import UnsupportedMediaType

from app.core.errors import InvalidInput
from app.web.api.requests import Asked
from app.web.duplicates import refuse_duplicates
from app.web.problems import problem
from app.web.words import field_errors

Model = TypeVar("Model", bound=Asked)
_PLAIN: Final = "identity"


async def body(model: type[Model]) -> Model:
    """Return the request's JSON as a model, parsed and checked in one go.

    Raises:
        InvalidInput: a field breaks a rule, is missing, or is given twice.
        UnsupportedMediaType: it is not JSON, or is compressed.

    """
    if request.headers.get("Content-Encoding", _PLAIN).strip().lower() not in ("", _PLAIN):
        raise UnsupportedMediaType(response=_compressed())
    if not request.is_json:
        message = "the body must be JSON, with Content-Type: application/json"
        raise UnsupportedMediaType(message)
    content = cast("bytes", await request.get_data())
    try:
        found = model.model_validate_json(content)
    except ValidationError as error:
        raise InvalidInput(*field_errors(error)) from None
    # Each member has a colon behind its name, and texts may have more: if there are only as many as the model has
    # members, none was given twice.
    if content.count(b":") == found.members():
        return found
    # Only now: what fits a model is not nested so deeply that it could break another parser.
    refuse_duplicates(content)
    return found


def _compressed() -> Response:
    detail = "the body must not be compressed: leave Content-Encoding out"
    response = problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "unsupported-media-type", detail)
    response.headers["Accept-Encoding"] = _PLAIN  # RFC 7694, 3: what would have been taken
    return response
