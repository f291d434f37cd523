"""Query strings of the feeds, read."""

from collections.abc import Sequence
from typing import Final, NamedTuple, Self

from werkzeug.datastructures import MultiDict

from app.core.errors import FieldError, InvalidInput
from app.core.filter import EventFilter
from app.web.access.credentials import TICKET
from app.web.fields import Fields
from app.web.filters import event_filter

CURSOR_PARAMETERS: Final = ("lastEventId", "last_event_id", "lastEventID")

SWITCHES: Final = ("greeting", "live")
_VALUES: Final = {"true": True, "false": False}


class FeedQuery(NamedTuple):
    """What a client wants of a feed, and from where.

    `greeting`: it hears of its own position (`feed.opened`, `feed.position`). Without `live` it hears nothing of the
    log before it subscribes.
    """

    wanted: EventFilter
    cursor: str | None
    greeting: bool = True
    live: bool = True
    ticket: str | None = None

    def continued(self, headers: Fields) -> Self:
        """Go on from where a header says. It wins: a reconnecting EventSource keeps its old URL."""
        given = headers.get("Last-Event-ID")
        return self._replace(cursor=given) if given else self


def feed_query(args: MultiDict[str, str], headers: Fields, *, can_subscribe: bool = True) -> FeedQuery:
    """Return what a feed's URL and headers ask for.

    Raises:
        InvalidInput: a parameter is not known, or what it says cannot be.

    """
    cursor = next((args[name] for name in CURSOR_PARAMETERS if args.get(name)), None)
    wanted = event_filter(args, (*CURSOR_PARAMETERS, *SWITCHES, TICKET))
    greeting, live = (_switch(name, args.getlist(name)) for name in SWITCHES)
    if not live and not can_subscribe:
        raise InvalidInput(FieldError("live", "only a WebSocket can wait for `subscribe`; leave it out here"))
    return FeedQuery(wanted, cursor, greeting, live, args.get(TICKET) or None).continued(headers)


def _switch(name: str, given: Sequence[str]) -> bool:
    if not given:
        return True
    if len(given) > 1 or given[0] not in _VALUES:
        raise InvalidInput(FieldError(name, "must be true or false"))
    return _VALUES[given[0]]
