"""`/asyncapi.json`: the two feeds, described (AsyncAPI 3.0)."""

from collections.abc import Sequence
from typing import Any

import orjson
from pydantic.json_schema import models_json_schema

from app import __version__
from app.web.api.documents import EventDocument
from app.web.feed.control_messages import MAX_FILTERS
from app.web.feed.query import CURSOR_PARAMETERS, SWITCHES
from app.web.filters import FILTER_FIELDS
from app.web.ops.schemas import Schemas
from app.web.services import WebSettings

_TEXT = {"type": "string"}


def _object(event: str, **properties: Any) -> dict[str, Any]:
    members = {"event": {"const": event}, **properties}
    return {"type": "object", "properties": members, "required": list(members)}


_CURSOR = {"type": ["string", "null"]}
_SHOWN = {"type": ["object", "null"]}

_SERVICE_MESSAGES = {
    "feed.opened": _object("feed.opened", cursor=_CURSOR, filter=_SHOWN, timestamp=_TEXT),
    "feed.position": _object("feed.position", cursor=_TEXT),
    "service.degraded": _object("service.degraded", source=_TEXT, reason=_TEXT, timestamp=_TEXT),
    "service.recovered": _object("service.recovered", source=_TEXT, reason=_TEXT, timestamp=_TEXT),
    "feed.reset": _object("feed.reset", reason=_TEXT, cursor=_TEXT, timestamp=_TEXT),
}
_CLOSING = {"feed.closing": _object("feed.closing", reason=_TEXT, cursor=_CURSOR, timestamp=_TEXT)}
_SUBSCRIBED = _object("subscribed", cursor=_CURSOR)
_SUBSCRIBED["properties"] |= {"filter": _SHOWN, "filters": {"type": "array", "items": {"type": "object"}}}
_REPLIES = {
    "subscribed": _SUBSCRIBED | {"oneOf": [{"required": ["filter"]}, {"required": ["filters"]}]},
    "pong": _object("pong", cursor=_CURSOR, timestamp=_TEXT),
    "error": _object("error", code=_TEXT, message=_TEXT),
}
_FILTER = {
    "type": "object",
    "properties": {name: {"oneOf": [_TEXT, {"type": "array", "items": _TEXT}]} for name in FILTER_FIELDS},
    "additionalProperties": False,
}
_FILTERS = {"type": "array", "items": _FILTER, "minItems": 1, "maxItems": MAX_FILTERS}
_YES_OR_NO = {"type": "boolean"}
_CONTROLS = {
    "subscribe": {
        "type": {"const": "subscribe"},
        "filter": _FILTER,
        "filters": _FILTERS,
        "add": _YES_OR_NO,
        "lastEventId": _TEXT,
    },
    "unsubscribe": {"type": {"const": "unsubscribe"}},
    "ping": {"type": {"const": "ping"}},
}


def document(settings: WebSettings) -> bytes:
    """Return the AsyncAPI document."""
    _, definitions = models_json_schema(
        [(EventDocument, "serialization")], ref_template="#/components/schemas/{model}", schema_generator=Schemas
    )
    event = {
        "name": "event",
        "contentType": "application/json",
        "payload": {"$ref": "#/components/schemas/EventDocument"},
    }
    sent = {"event": event, **{name: _message(name, schema) for name, schema in _SERVICE_MESSAGES.items()}}
    closing = {name: _message(name, schema) for name, schema in _CLOSING.items()}
    replies = {name: _message(name, schema) for name, schema in _REPLIES.items()}
    controls = {
        name: _message(name, {"type": "object", "properties": properties, "required": ["type"]})
        for name, properties in _CONTROLS.items()
    }
    channels = {
        "sse": _channel(
            "/sse/streams", {**sent, **closing}, SWITCHES[:1], "Server-Sent Events; resume with Last-Event-ID."
        ),
        "websocket": _channel("/ws/streams", {**sent, **replies, **controls}, SWITCHES, _websocket_text(settings)),
    }
    return orjson.dumps(
        {
            "asyncapi": "3.0.0",
            "info": {"title": "Fluxora streams: the feeds", "version": __version__},
            "defaultContentType": "application/json",
            "channels": channels,
            "operations": {
                "followSse": _operation("send", "sse", {**sent, **closing}),
                "followWebSocket": _operation("send", "websocket", {**sent, **replies}),
                "controlWebSocket": _operation("receive", "websocket", controls),
            },
            "components": {"schemas": definitions["$defs"]},
        }
    )


def _message(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "payload": schema}


def _channel(address: str, messages: dict[str, Any], switches: Sequence[str], description: str) -> dict[str, Any]:
    query = {name: {"type": "array", "items": _TEXT} for name in FILTER_FIELDS}
    others = dict.fromkeys(CURSOR_PARAMETERS, _TEXT) | dict.fromkeys(switches, _YES_OR_NO)
    bindings = {"ws": {"method": "GET", "query": {"type": "object", "properties": {**query, **others}}}}
    shown = {name.replace(".", "_"): message for name, message in messages.items()}
    return {"address": address, "description": description, "messages": shown, "bindings": bindings}


def _operation(action: str, channel: str, messages: dict[str, Any]) -> dict[str, Any]:
    references = [{"$ref": f"#/channels/{channel}/messages/{name.replace('.', '_')}"} for name in messages]
    return {"action": action, "channel": {"$ref": f"#/channels/{channel}"}, "messages": references}


def _websocket_text(settings: WebSettings) -> str:
    return (
        "Resume with lastEventId, or with the header Last-Event-ID on the handshake. "
        "Close codes: 1003 binary message, 1008 more than "
        f"{settings.message_rate_limit} messages in {settings.message_rate_window:g} s, 1009 message over "
        f"{settings.max_message_bytes} bytes, 1011 internal error, 1012 service restart."
    )
