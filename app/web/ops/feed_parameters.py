"""What the SSE feed may be asked, for the API's description."""

from typing import Any, Final

from app.web.feed.query import CURSOR_PARAMETERS
from app.web.filters import CHOICES, FILTER_FIELDS

_HOW: Final = (
    'Does not end, so "Try it out" can\'t show it: follow it with `curl -N <address>`, with `EventSource` in a '
    "browser, or on the live page."
)


def _filter(name: str) -> dict[str, Any]:
    items: dict[str, Any] = {"type": "string", "minLength": 1}
    if name in CHOICES:
        items["enum"] = list(CHOICES[name])
    text = f"only events with this `{name}`; may be repeated"
    return {"name": name, "in": "query", "description": text, "schema": {"type": "array", "items": items}}


def _cursor(name: str, place: str) -> dict[str, Any]:
    text = "the id of the last event that was seen: the feed goes on behind it"
    return {"name": name, "in": place, "description": text, "schema": {"type": "string"}}


_GREETING: Final = {
    "name": "greeting",
    "in": "query",
    "description": "`false`: no `feed.opened` and no `feed.position`",
    "schema": {"type": "boolean", "default": True},
}

FEED_PARAMETERS: Final = [
    *map(_filter, FILTER_FIELDS),
    _cursor("Last-Event-ID", "header"),
    _cursor(CURSOR_PARAMETERS[0], "query"),
    _GREETING,
]
FEED_RESPONSE: Final = {
    "description": f"The feed, as Server-Sent Events. {_HOW}",
    "content": {"text/event-stream": {"schema": {"type": "string"}}},
}
