"""Query strings and headers, read into models that check them."""

import re
from typing import Annotated, Any, Final, TypeVar, get_origin

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel
from quart import request

from app.core.errors import FieldError, InvalidInput
from app.web.words import parameter_errors

Model = TypeVar("Model", bound=BaseModel)


class Query(BaseModel):
    """Parameters of a URL, named in camelCase; names that mean nothing are refused."""

    model_config = ConfigDict(alias_generator=to_camel, extra="forbid", frozen=True)


class RequestHeaders(BaseModel):
    """Headers of a request, as far as they mean something to it."""

    model_config = ConfigDict(alias_generator=lambda name: name.replace("_", "-").title(), frozen=True)


_LONGEST_NAME: Final = 512
_NUMBER: Final = re.compile("[0-9]{1,9}")
_WHOLE: Final = re.compile("[0-9]{1,19}")
_MOST_SECONDS: Final = 10**19 - 1


def page_size(most: int) -> BeforeValidator:
    """Return the check of a `limit`: from 1 to `most`, in plain digits."""

    def check(given: Any) -> int:
        if not _NUMBER.fullmatch(str(given)) or not 1 <= int(given) <= most:
            message = f"must be a number from 1 to {most}"
            raise ValueError(message)
        return int(given)

    return BeforeValidator(check)


def page_size_shown(most: int) -> Any:
    """Return how a `limit` is described."""
    return Field(json_schema_extra={"minimum": 1, "maximum": most}, description="most that one page has")


def named(field: str, text: str) -> str:
    """Return a name, or raise InvalidInput: none that we give out has controls in it, or is so long."""
    if not text.isprintable() or len(text) > _LONGEST_NAME:
        raise InvalidInput(FieldError(field, f"must be at most {_LONGEST_NAME} printable characters"))
    return text


def _whole(given: Any) -> int:
    if not _WHOLE.fullmatch(str(given)):
        message = "must be a whole number, from 0"
        raise ValueError(message)
    return int(given)


Number = Annotated[int, BeforeValidator(_whole), Field(json_schema_extra={"minimum": 0})]
At = Annotated[
    int | None,
    BeforeValidator(_whole),
    Field(
        json_schema_extra={"minimum": 0, "maximum": _MOST_SECONDS},
        description="Unix seconds: the answer says what has accrued then, in base units",
        examples=[1_767_225_600],
    ),
]


def query(model: type[Model]) -> Model:
    """Return the request's query string as a model. Raises InvalidInput.

    A field that is a list may be given several times, any other once.
    """
    args, given, twice = request.args, {}, []
    lists = {str(field.alias) for field in model.model_fields.values() if get_origin(field.annotation) is list}
    for name in args:
        values = args.getlist(name)
        given[name] = values if name in lists else values[0]
        if name not in lists and len(values) > 1:
            twice.append(FieldError(name, "is given more than once"))
    if twice:
        raise InvalidInput(*twice)
    return _checked(model, given)


def headers(model: type[Model]) -> Model:
    """Return the request's headers as a model. Raises InvalidInput.

    Several lines of one header are one list (RFC 9110, 5.3).
    """
    names = [str(field.alias) for field in model.model_fields.values()]
    return _checked(model, {name: ", ".join(lines) for name in names if (lines := request.headers.getlist(name))})


def _checked(model: type[Model], given: dict[str, Any]) -> Model:
    try:
        return model.model_validate(given)
    except ValidationError as error:
        raise InvalidInput(*parameter_errors(error)) from None
