"""What all settings have in common."""

from typing import Annotated, Any, get_args

from pydantic import Field, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

Seconds = Annotated[float, Field(gt=0, le=86_400)]
"""A time that sockets, threads and PostgreSQL can all count."""


class BaseServiceSettings(BaseSettings):
    """Settings from the environment. A field is the environment variable of the same name, in capitals."""

    model_config = SettingsConfigDict(env_ignore_empty=True, hide_input_in_errors=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _any_case(cls, value: Any, info: ValidationInfo) -> Any:
        """Take choices in any case: people write `LOG_LEVEL=WARNING`."""
        choices = [
            each for each in get_args(cls.model_fields[info.field_name or ""].annotation) if isinstance(each, str)
        ]
        given = value.strip().lower() if isinstance(value, str) else None
        return next((each for each in choices if each.lower() == given), value)

    @field_validator("*", mode="before")
    @classmethod
    def _split(cls, value: Any, info: ValidationInfo) -> Any:
        """Take lists separated by commas."""
        annotation = str(cls.model_fields[info.field_name or ""].annotation)
        if not (isinstance(value, str) and annotation.startswith("tuple")):
            return value
        return tuple(filter(None, (part.strip() for part in value.split(","))))
