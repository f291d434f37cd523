"""What a WebSocket client may ask: its control messages, read."""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import orjson

from app.core.errors import FieldError, InvalidInput
from app.core.filter import EventFilter
from app.web.duplicates import refuse_duplicates
from app.web.filters import FILTER_FIELDS, filter_of, unknown_fields

MAX_FILTERS: Final = 20
"""The tabs of a browser that share one connection; each event is held against each of them."""


class Subscribe(NamedTuple):
    """What a `subscribe` asks for: events that one of the filters wants, from a cursor on or from here on."""

    filters: tuple[EventFilter, ...]
    cursor: str | None


def parse_control(text: str) -> dict[str, Any]:
    """Read a client's control message; raises InvalidInput."""
    try:
        message = orjson.loads(text)
    except orjson.JSONDecodeError:
        raise InvalidInput(FieldError("message", "must be JSON")) from None
    refuse_duplicates(text)
    if not isinstance(message, dict) or not isinstance(message.get("type"), str):
        raise InvalidInput(FieldError("type", "must be an object with a type: subscribe, unsubscribe, auth or ping"))
    return message


def parse_subscribe(message: Mapping[str, Any], present: tuple[EventFilter, ...]) -> Subscribe:
    """Read a `subscribe`; `present` are the filters to which `"add":true` adds.

    Raises:
        InvalidInput: a field is wrong; nothing is changed then.

    """
    add = message.get("add", False)
    if not isinstance(add, bool):
        raise InvalidInput(FieldError("add", "must be true or false"))
    if "filter" in message and "filters" in message:
        raise InvalidInput(FieldError("filters", "give one `filter`, or several `filters`, not both"))
    chosen = _filters(message["filters"]) if "filters" in message else (_filter(message.get("filter", {}), "filter"),)
    cursor = _cursor(message)
    if add and cursor is not None:
        raise InvalidInput(
            FieldError("lastEventId", "cannot go with `add`: the other filters' events would come again")
        )
    filters = tuple(dict.fromkeys((*present, *chosen) if add else chosen))
    if len(filters) > MAX_FILTERS:
        raise InvalidInput(FieldError("filters", f"must be at most {MAX_FILTERS}, those before included"))
    return Subscribe(filters, cursor)


def parse_auth(message: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """Read an `auth`: a token, or a ticket. Raises InvalidInput, which never repeats them."""
    given = [name for name in ("token", "ticket") if name in message]
    if len(given) != 1:
        raise InvalidInput(FieldError("token", "give a `token` or a `ticket`"))
    text = message[given[0]]
    if not isinstance(text, str) or not text:
        raise InvalidInput(FieldError(given[0], "must be a text, not empty"))
    return (text, None) if given == ["token"] else (None, text)


def _filters(given: Any) -> tuple[EventFilter, ...]:
    if not isinstance(given, list) or not given:
        raise InvalidInput(FieldError("filters", "must be a list of objects, not empty"))
    if len(given) > MAX_FILTERS:
        raise InvalidInput(FieldError("filters", f"must be at most {MAX_FILTERS}"))
    return tuple(_filter(each, f"filters[{index}]") for index, each in enumerate(given))


def _filter(given: Any, name: str) -> EventFilter:
    """Return a filter: strings, or lists of strings."""
    if not isinstance(given, dict):
        raise InvalidInput(FieldError(name, "must be an object"))
    unknown = set(given) - set(FILTER_FIELDS)
    if unknown:
        raise InvalidInput(*unknown_fields(unknown, prefix=f"{name}."))
    fields = {field: [value] if isinstance(value, str) else value for field, value in given.items()}
    for field, values in fields.items():
        if not isinstance(values, list) or not values or not all(isinstance(value, str) for value in values):
            raise InvalidInput(FieldError(f"{name}.{field}", "must be a string or a list of strings, not empty"))
    return filter_of(fields)


def _cursor(message: Mapping[str, Any]) -> str | None:
    cursor = message.get("lastEventId")
    if cursor is not None and not isinstance(cursor, str):
        raise InvalidInput(FieldError("lastEventId", "must be a string"))
    return cursor or None
