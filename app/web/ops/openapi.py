"""`/openapi.json`: what the routes' own descriptions leave out, said once for all of them."""

from typing import Any, Final

from quart_schema.openapi import OpenAPIProvider
from werkzeug.routing import Rule

from app.web.api.documents import ProblemDocument

SECURITY_SCHEMES: Final[dict[str, Any]] = {
    "bearer": {"type": "http", "scheme": "bearer"},
    "key": {"type": "apiKey", "in_": "header", "name": "X-API-Key"},
}
_HEALTH: Final = "/health"


class OpenAPI(OpenAPIProvider):
    """Tells of each operation whether it needs a key, and that its errors are problem documents."""

    def build_paths(self, rule: Rule) -> tuple[dict[str, Any], dict[str, Any]]:
        """Describe a route's operations."""
        paths, components = super().build_paths(rule)
        needs_key = getattr(self._app.view_functions[rule.endpoint], "requires_key", False)
        problem, more = self.build_response_object(ProblemDocument, None)
        for operation in (operation for path in paths.values() for operation in path.values()):
            responses = {str(int(status)): response for status, response in operation["responses"].items()}
            if not any(status.startswith("2") for status in responses):
                responses["2XX"] = {"description": operation["summary"]}
            # A service that is not ready answers with its status, too.
            unready = rule.rule.startswith(_HEALTH)
            responses["default"] = {"description": operation["summary"]} if unready else problem
            operation["responses"] = responses
            if needs_key:
                operation["security"] = [{name: []} for name in SECURITY_SCHEMES]
        return paths, {**components, **more}

    def build_response_object(self, model: Any, headers_model: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        """Describe a response."""
        response, components = super().build_response_object(model, headers_model)
        if model is ProblemDocument:
            response["content"] = {"application/problem+json": response["content"]["application/json"]}
        return response, components
