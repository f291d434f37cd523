"""What is wrong with the input, field by field, in the product's words rather than in pydantic's."""

import re
from typing import Any, Final

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from app.core.errors import FieldError

BODY: Final = "body"
_SENTENCES: Final[dict[str, str]] = {
    "bool_parsing": "must be true or false",
    "bool_type": "must be true or false",
    "dict_type": "must be a JSON object",
    "enum": "must be one of {expected}",
    "extra_forbidden": "is not known here",
    "finite_number": "must be a finite number",
    "float_type": "must be a number",
    "greater_than": "must be more than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "int_from_float": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_parsing_size": "is too large",
    "int_type": "must be a whole number",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
    "list_type": "must be a list",
    "literal_error": "must be one of {expected}",
    "missing": "is missing",
    "model_attributes_type": "must be a JSON object",
    "model_type": "must be a JSON object",
    "recursion_loop": "is nested too deeply",
    "string_pattern_mismatch": "does not have the form {pattern}",
    "string_too_long": "must have at most {max_length} characters",
    "string_too_short": "must have at least {min_length} characters",
    "string_type": "must be a string",
    "string_unicode": "must be text in UTF-8",
    "too_long": "must have at most {max_length} items",
    "too_short": "must have at least {min_length} items",
    "union_tag_invalid": "must have a type that is one of {expected_tags}",
    "union_tag_not_found": "must have a type",
}
_PLACE: Final = re.compile(r"at line (\d+) column (\d+)")
_TAGS: Final = frozenset({"StreamCreated", "StreamUpdated", "StreamCancelled", "ChainFunction", "contract", "system"})
"""Pydantic names a union's member in the path to a field; the client wrote no such name."""


def field_errors(error: ValidationError) -> list[FieldError]:
    """Return what pydantic found, with the fields as the client wrote them."""
    return [FieldError(_field(each), sentence(each)) for each in _details(error)]


def parameter_errors(error: ValidationError) -> list[FieldError]:
    """Return what pydantic found in a query string or in headers: each name once, however often it was given."""
    found = {str(each["loc"][0]): sentence(each) for each in reversed(_details(error))}
    return [FieldError(name, message) for name, message in reversed(found.items())]


def sentence(error: ErrorDetails) -> str:
    """Return what is wrong, for somebody who knows JSON and not pydantic."""
    kind, context = error["type"], error.get("ctx", {})
    if kind == "json_invalid":
        place = _PLACE.search(str(context.get("error")))
        return f"is not valid JSON (line {place[1]}, column {place[2]})" if place else "is not valid JSON"
    if kind == "value_error":
        return str(context["error"])
    known = _SENTENCES.get(kind)
    return known.format_map(_plain(context)) if known else "is not valid"


def _plain(context: dict[str, Any]) -> dict[str, str]:
    return {name: _list(str(value)) if "expected" in name else str(value) for name, value in context.items()}


def _list(quoted: str) -> str:
    return quoted.replace("'", "").replace(" or ", ", ")


def _details(error: ValidationError) -> list[ErrorDetails]:
    return error.errors(include_url=False, include_input=False)


def _field(error: ErrorDetails) -> str:
    location = [str(part) for part in error["loc"] if part not in _TAGS]
    return ".".join(location) or BODY
