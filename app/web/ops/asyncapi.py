"""`/asyncapi.json`: the two feeds, described (AsyncAPI 3.0)."""

from typing import Any

import orjson
from pydantic.json_schema import models_json_schema

from app import __version__
from app.web.api.documents import EventDocument
from app.web.feed.query import CURSOR_PARAMETERS
from app.web.filters import FILTER_FIELDS
from app.web.services import WebSettings

_TEXT = {"type": "string"}


def _object(event: str, **properties: Any) -> dict[str, Any]:
    members = {"event": {"const": event}, **properties}
    return {"type": "object", "properties": members, "required": list(members)}


_SERVICE_MESSAGES = {
    "service.degraded": _object("service.degraded", source=_TEXT, reason=_TEXT, timestamp=_TEXT),
    "service.recovered": _object("service.recovered", source=_TEXT, reason=_TEXT, timestamp=_TEXT),
    "feed.reset": _object("feed.reset", reason=_TEXT, cursor=_TEXT, timestamp=_TEXT),
}
_REPLIES = {
    "subscribed": _object("subscribed", filter={"type": ["object", "null"]}, cursor=_TEXT),
    "pong": _object("pong", timestamp=_TEXT),
    "error": _object("error", code=_TEXT, message=_TEXT),
}
_FILTER = {
    "type": "object",
    "properties": {name: {"oneOf": [_TEXT, {"type": "array", "items": _TEXT}]} for name in FILTER_FIELDS},
    "additionalProperties": False,
}
_CONTROLS = {
    "subscribe": {"type": {"const": "subscribe"}, "filter": _FILTER, "lastEventId": _TEXT},
    "unsubscribe": {"type": {"const": "unsubscribe"}},
    "ping": {"type": {"const": "ping"}},
}


def document(settings: WebSettings) -> bytes:
    """Return the AsyncAPI document."""
    _, definitions = models_json_schema([(EventDocument, "serialization")], ref_template="#/components/schemas/{model}")
    event = {
        "name": "event",
        "contentType": "application/json",
        "payload": {"$ref": "#/components/schemas/EventDocument"},
    }
    sent = {"event": event, **{name: _message(name, schema) for name, schema in _SERVICE_MESSAGES.items()}}
    replies = {name: _message(name, schema) for name, schema in _REPLIES.items()}
    controls = {
        name: _message(name, {"type": "object", "properties": properties, "required": ["type"]})
        for name, properties in _CONTROLS.items()
    }
    channels = {
        "sse": _channel("/sse/streams", sent, "Server-Sent Events; resume with Last-Event-ID."),
        "websocket": _channel("/ws/streams", {**sent, **replies, **controls}, _websocket_text(settings)),
    }
    return orjson.dumps(
        {
            "asyncapi": "3.0.0",
            "info": {"title": "Fluxora streams: the feeds", "version": __version__},
            "defaultContentType": "application/json",
            "channels": channels,
            "operations": {
                "followSse": _operation("send", "sse", sent),
                "followWebSocket": _operation("send", "websocket", {**sent, **replies}),
                "controlWebSocket": _operation("receive", "websocket", controls),
            },
            "components": {"schemas": definitions["$defs"]},
        }
    )


def _message(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "payload": schema}


def _channel(address: str, messages: dict[str, Any], description: str) -> dict[str, Any]:
    query = {name: {"type": "array", "items": _TEXT} for name in FILTER_FIELDS}
    cursors = dict.fromkeys(CURSOR_PARAMETERS, _TEXT)
    bindings = {"ws": {"method": "GET", "query": {"type": "object", "properties": {**query, **cursors}}}}
    shown = {name.replace(".", "_"): message for name, message in messages.items()}
    return {"address": address, "description": description, "messages": shown, "bindings": bindings}


def _operation(action: str, channel: str, messages: dict[str, Any]) -> dict[str, Any]:
    references = [{"$ref": f"#/channels/{channel}/messages/{name.replace('.', '_')}"} for name in messages]
    return {"action": action, "channel": {"$ref": f"#/channels/{channel}"}, "messages": references}


def _websocket_text(settings: WebSettings) -> str:
    return (
        "Resume with lastEventId. Close codes: 1003 binary message, 1008 more than "
        f"{settings.message_rate_limit} messages in {settings.message_rate_window:g} s, 1009 message over "
        f"{settings.max_message_bytes} bytes, 1011 internal error, 1012 service restart."
    )
