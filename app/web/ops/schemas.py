"""How a model becomes a JSON Schema."""

from typing import Any

from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import core_schema


class Schemas(GenerateJsonSchema):
    """Leaves `default: null` out: what is absent has no value, and generators read a default as "always there"."""

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> dict[str, Any]:
        """Describe a member that may be left out."""
        described = super().default_schema(schema)
        if described.get("default", ...) is None:
            del described["default"]
        return described
