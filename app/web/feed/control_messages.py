"""What a WebSocket client may ask: its control messages, read."""

from collections.abc import Mapping
from typing import Any

import orjson

from app.core.errors import FieldError, InvalidInput
from app.core.filter import EventFilter
from app.web.filters import FILTER_FIELDS, filter_of, unknown_fields


def parse_control(text: str) -> dict[str, Any]:
    """Read a client's control message; raises InvalidInput."""
    try:
        message = orjson.loads(text)
    except orjson.JSONDecodeError:
        raise InvalidInput(FieldError("message", "must be JSON")) from None
    if not isinstance(message, dict) or not isinstance(message.get("type"), str):
        raise InvalidInput(FieldError("type", "must be an object with a type: subscribe, unsubscribe or ping"))
    return message


def control_filter(message: Mapping[str, Any]) -> EventFilter:
    """Return the filter of a `subscribe` message: strings, or lists of strings."""
    given = message.get("filter", {})
    if not isinstance(given, dict):
        raise InvalidInput(FieldError("filter", "must be an object"))
    unknown = set(given) - set(FILTER_FIELDS)
    if unknown:
        raise InvalidInput(*unknown_fields(unknown, prefix="filter."))
    fields = {name: [value] if isinstance(value, str) else value for name, value in given.items()}
    for name, values in fields.items():
        if not isinstance(values, list) or not values or not all(isinstance(value, str) for value in values):
            raise InvalidInput(FieldError(f"filter.{name}", "must be a string or a list of strings, not empty"))
    return filter_of(fields)


def control_cursor(message: Mapping[str, Any]) -> str | None:
    """Return the cursor of a `subscribe` message."""
    cursor = message.get("lastEventId")
    if cursor is not None and not isinstance(cursor, str):
        raise InvalidInput(FieldError("lastEventId", "must be a string"))
    return cursor or None
