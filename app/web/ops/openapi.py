"""`/openapi.json`: the routes as they describe themselves, with shared parts named once."""

import inspect
from http import HTTPStatus
from typing import Any, Final

from pydantic import BaseModel
from quart_schema.openapi import QUART_SCHEMA_OPERATION_ID_ATTRIBUTE, OpenAPIProvider
from werkzeug.routing import Rule

from app.core.access.grant import Scope
from app.web.access.policy import POLICY, PUBLIC
from app.web.answered import ATTRIBUTE
from app.web.api.documents import ProblemDocument
from app.web.ops.feed_parameters import FEED_PARAMETERS, FEED_RESPONSE
from app.web.ops.schemas import Schemas

SECURITY_SCHEMES: Final[dict[str, Any]] = {
    "bearer": {"type": "http", "scheme": "bearer"},
    "key": {"type": "apiKey", "in_": "header", "name": "X-API-Key"},
}
TAGS: Final = [
    {"name": "Streams", "description": "The payment streams: create, read, change, cancel."},
    {"name": "Events", "description": "The log of changes, and the indexer's way in."},
    {"name": "Feed", "description": "The changes as they happen; /asyncapi.json describes all that a feed says."},
    {"name": "Service", "description": "What is out of order outside of the service."},
    {"name": "Health", "description": "How the service is."},
]
_FEED: Final = "/sse/streams"
_UNDECORATED: Final = {
    "/health": ("Health", "getHealth"),
    "/health/live": ("Health", "getLiveness"),
    "/health/ready": ("Health", "getReadiness"),
    _FEED: ("Feed", "followStreams"),
}
_WITHOUT_DOCUMENT: Final = (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED)
_RETRY: Final = (HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.TOO_MANY_REQUESTS)


class OpenAPI(OpenAPIProvider):
    """Names shared schemas and responses once, and tells of each operation its key, statuses and headers."""

    def schema(self) -> dict[str, Any]:
        """Return the document."""
        document = super().schema()
        document["paths"] = dict(sorted(document["paths"].items()))
        document["tags"] = TAGS
        document["info"]["license"] = {"name": "MIT", "identifier": "MIT"}
        document["security"] = []
        problem, _ = self.build_response_object(ProblemDocument, None)
        content = {"application/problem+json": problem["content"]["application/json"]}
        document["components"]["responses"] = {
            "Problem": {"description": "An error: which field, and why.", "content": content},
            **{_name(status): _problem(status, content) for status in HTTPStatus if status >= HTTPStatus.BAD_REQUEST},
        }
        _drop_unused(document)
        return document

    def build_paths(self, rule: Rule) -> tuple[dict[str, Any], dict[str, Any]]:
        """Describe a route's operations."""
        paths, components = super().build_paths(rule)
        components["ProblemDocument"] = _schema_of(ProblemDocument, "serialization", components)
        handler = self._app.view_functions[rule.endpoint]
        for operation in (operation for path in paths.values() for operation in path.values()):
            operation["responses"] = self._responses(rule, operation, getattr(handler, ATTRIBUTE, ()))
            if _guarded(rule, getattr(handler, POLICY, PUBLIC)):
                operation["security"] = [{name: []} for name in SECURITY_SCHEMES]
                operation["responses"]["401"] = _reference(HTTPStatus.UNAUTHORIZED)
            if rule.rule in _UNDECORATED:
                tag, operation["operationId"] = _UNDECORATED[rule.rule]
                operation["tags"] = [tag]
            if rule.rule == _FEED:
                operation["parameters"] = FEED_PARAMETERS
            if not operation.get("description"):
                operation["description"] = operation["summary"]
        return paths, components

    def _responses(self, rule: Rule, operation: dict[str, Any], noted: tuple[HTTPStatus, ...]) -> dict[str, Any]:
        responses = {str(int(status)): response for status, response in operation["responses"].items()}
        for status in noted:
            responses[str(int(status))] = (
                {"description": status.description or status.phrase}
                if status in _WITHOUT_DOCUMENT
                else _reference(status)
            )
        if rule.rule.startswith("/health"):
            answer = {"application/json": {"schema": {"type": "object", "properties": {"status": {"type": "string"}}}}}
            responses["200"] = {"description": operation["summary"], "content": answer}
            # A service that is not ready says so in the same document.
            responses["503"] = {
                "description": "The same, of a service that should not be asked now.",
                "content": answer,
            }
        if rule.rule == _FEED:
            responses["200"] = FEED_RESPONSE
            responses |= {str(int(status)): _reference(status) for status in (HTTPStatus.BAD_REQUEST, *_RETRY)}
        responses["403"] = _reference(HTTPStatus.FORBIDDEN)
        return dict(sorted(responses.items())) | {"default": {"$ref": "#/components/responses/Problem"}}

    def operation_id(self, method: str, path: str, func: Any) -> str | None:
        """Return the name that the route was given, as it is."""
        given = getattr(func, QUART_SCHEMA_OPERATION_ID_ATTRIBUTE, None)
        return given or super().operation_id(method, path, func)

    def build_path_parameter(self, name: str, converter: Any) -> dict[str, Any]:
        """Describe a part of the path."""
        return {**super().build_path_parameter(name, converter), "description": "the stream's id, in any case"}

    def build_querystring_parameters(self, model: Any) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        """Describe a query string."""
        return _parameters(model, "query")

    def build_headers_parameters(self, model: Any) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        """Describe a request's headers."""
        return _parameters(model, "header")

    def build_request_body(self, model: Any, source: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        """Describe a request's body."""
        del source
        return _content(model, "validation", {"required": True})

    def build_response_object(self, model: Any, headers_model: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        """Describe a response."""
        response, components = _content(
            model, "serialization", {"description": inspect.getdoc(model) or model.__name__}
        )
        if headers_model is not None:
            described, more = _parameters(headers_model, "header")
            kept = ("description", "schema", "required")
            response["headers"] = {each["name"]: {key: each[key] for key in kept if key in each} for each in described}
            components |= more
        return response, components


def _guarded(rule: Rule, policy: str) -> bool:
    """Tell whether a route needs a key or token whatever the settings; reading may be open."""
    return policy != PUBLIC and (policy != Scope.STREAMS_READ or "GET" not in (rule.methods or set()))


def _name(status: HTTPStatus) -> str:
    return status.phrase.title().replace(" ", "").replace("-", "").replace("'", "")


def _reference(status: HTTPStatus) -> dict[str, Any]:
    return {"$ref": f"#/components/responses/{_name(status)}"}


def _problem(status: HTTPStatus, content: dict[str, Any]) -> dict[str, Any]:
    described: dict[str, Any] = {"description": status.description or status.phrase, "content": content}
    if status in _RETRY:
        schema = {"type": "integer", "minimum": 1}
        described["headers"] = {
            "Retry-After": {"description": "seconds until it is worth asking again", "schema": schema}
        }
    return described


def _content(model: type[BaseModel], mode: Any, described: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    components: dict[str, Any] = {}
    components[model.__name__] = _schema_of(model, mode, components)
    schema = {"$ref": f"#/components/schemas/{model.__name__}"}
    return {**described, "content": {"application/json": {"schema": schema}}}, components


def _schema_of(model: type[BaseModel], mode: Any, components: dict[str, Any]) -> dict[str, Any]:
    schema = model.model_json_schema(mode=mode, ref_template="#/components/schemas/{model}", schema_generator=Schemas)
    components |= schema.pop("$defs", {})
    return schema


def _parameters(model: type[BaseModel], place: str) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    components: dict[str, Any] = {}
    schema = _schema_of(model, "validation", components)
    required = set(schema.get("required", ()))
    found = []
    for name, given in schema["properties"].items():
        described = {
            key: value for key, value in given.items() if key not in ("anyOf", "default", "title", "description")
        }
        # A parameter that is left out is not null.
        described |= next((each for each in given.get("anyOf", ()) if each != {"type": "null"}), {})
        if given.get("default"):
            described["default"] = given["default"]
        text = given.get("description")
        parameter = {"name": name, "in": place, **({"description": text} if text else {}), "schema": described}
        found.append({**parameter, "required": True} if name in required else parameter)
    return found, components


def _drop_unused(document: dict[str, Any]) -> None:
    used = {reference.rpartition("/")[2] for reference in _references(document["paths"])}
    responses = document["components"]["responses"]
    document["components"]["responses"] = {name: each for name, each in responses.items() if name in used}


def _references(part: Any) -> list[str]:
    if isinstance(part, dict):
        own = [part["$ref"]] if isinstance(part.get("$ref"), str) else []
        return own + [each for value in part.values() for each in _references(value)]
    return [each for value in part for each in _references(value)] if isinstance(part, list) else []
