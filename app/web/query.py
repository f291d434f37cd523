"""Query strings, read."""

import re
from collections.abc import Collection
from typing import Final, NamedTuple

from werkzeug.datastructures import Headers, MultiDict

from app.core.errors import FieldError, InvalidInput
from app.core.events import EventFilter
from app.web.wire import CURSOR_PARAMETERS, FILTER_FIELDS, filter_of, unknown_fields

_NUMBER: Final = re.compile("[0-9]{1,9}")


class FeedQuery(NamedTuple):
    """What a client wants of a feed, and from where."""

    wanted: EventFilter
    cursor: str | None


def feed_query(args: MultiDict[str, str], headers: Headers) -> FeedQuery:
    """Return filter and cursor of a feed's URL. The header wins: a reconnecting EventSource keeps its old URL."""
    cursors = [headers.get("Last-Event-ID"), *(args[name] for name in CURSOR_PARAMETERS if name in args)]
    cursor = next((given for given in cursors if given), None)
    return FeedQuery(event_filter(args, CURSOR_PARAMETERS), cursor)


def event_filter(args: MultiDict[str, str], others: Collection[str]) -> EventFilter:
    """Return the filter in a query string that may also have the parameters `others`. Raises InvalidInput."""
    unknown = set(args) - set(FILTER_FIELDS) - set(others)
    if unknown:
        raise InvalidInput(*unknown_fields(unknown))
    return filter_of({name: args.getlist(name) for name in FILTER_FIELDS})


def limit(args: MultiDict[str, str], *, default: int, most: int) -> int:
    """Return the page size. Raises InvalidInput."""
    text = args.get("limit", str(default))
    if not _NUMBER.fullmatch(text) or not 1 <= int(text) <= most:
        raise InvalidInput(FieldError("limit", f"must be a number from 1 to {most}"))
    return int(text)
