"""The form of every JSON object that the API answers with."""

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel


class Document(BaseModel):
    """A JSON object with camelCase names. Readers ignore members that they do not know: more will come."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=False, frozen=True)
