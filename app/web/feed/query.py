"""Query strings, read."""

from typing import Final, NamedTuple

from werkzeug.datastructures import Headers, MultiDict

from app.core.filter import EventFilter
from app.web.filters import event_filter

CURSOR_PARAMETERS: Final = ("lastEventId", "last_event_id", "lastEventID")


class FeedQuery(NamedTuple):
    """What a client wants of a feed, and from where."""

    wanted: EventFilter
    cursor: str | None


def feed_query(args: MultiDict[str, str], headers: Headers) -> FeedQuery:
    """Return filter and cursor of a feed's URL. The header wins: a reconnecting EventSource keeps its old URL."""
    cursors = [headers.get("Last-Event-ID"), *(args[name] for name in CURSOR_PARAMETERS if name in args)]
    cursor = next((given for given in cursors if given), None)
    return FeedQuery(event_filter(args, CURSOR_PARAMETERS), cursor)
