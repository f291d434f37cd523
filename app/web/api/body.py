"""Request bodies, read."""

from typing import TypeVar

from pydantic import BaseModel, ValidationError
from quart import request
from werkzeug.exceptions import UnsupportedMediaType

from app.core.errors import InvalidInput
from app.web.problems import field_errors

Model = TypeVar("Model", bound=BaseModel)


async def body(model: type[Model]) -> Model:
    """Return the request's JSON as a model, parsed and checked in one go. Raises InvalidInput."""
    if not request.is_json:
        message = "the body must be JSON, with Content-Type: application/json"
        raise UnsupportedMediaType(message)
    try:
        return model.model_validate_json(await request.get_data())
    except ValidationError as error:
        raise InvalidInput(*field_errors(error)) from None
