"""The kinds of fields that requests have: each is checked by one rule and described by one schema."""

import re
from collections.abc import Callable
from typing import Annotated, Any

from pydantic import AfterValidator, Field, StrictInt, ValidationInfo

from app.core.addresses import parse_address, parse_contract
from app.core.stream import MAX_TIME, normal_id, parse_amount

END_BEFORE_START = "must be 0 (open) or after startTime"
_MAX_INDEX = 2**31 - 1
ACCOUNT = "GA7QYNF7SOWQ3GLR2BGMZEHXAVIRZA4KVWLTJJFC7MGXUA74P7UJVSGZ"
CONTRACT = "CA3D5KRYM6CB7OWQ6TWYRR3Z4T7GNZLKERYNZGGA5SOAOPIFY6YQGAXE"
HASH = "3389e9f0f1a65f19736cacf544c2e825313e8447f569233bb8db39aa607c8889"
STREAM = f"stream-{HASH}-0"


def form(pattern: str, what: str, normal: Callable[[str], str] = str) -> AfterValidator:
    """Return the check that a text has a form, which is said as `what` to whoever breaks it; it is kept as `normal`."""
    compiled = re.compile(pattern)

    def check(text: str) -> str:
        if not compiled.fullmatch(text):
            message = f"must be {what}"
            raise ValueError(message)
        return normal(text)

    return AfterValidator(check)


def shown(pattern: str, *examples: str, **more: Any) -> Any:
    """Return how a form is described."""
    return Field(json_schema_extra={"pattern": f"^{pattern}$", **more}, examples=list(examples))


def _positive(text: str) -> str:
    if not text.strip("0."):
        message = "must be more than 0"
        raise ValueError(message)
    return text


def _end_after_start(end: int, info: ValidationInfo) -> int:
    if end and end <= (info.data.get("start_time") or 0):
        raise ValueError(END_BEFORE_START)
    return end


_amount = shown(r"(0|[1-9][0-9]*)(\.[0-9]{1,7})?", "1000.5", maxLength=20)
Address = Annotated[str, AfterValidator(parse_address), shown("[GC][A-Z2-7]{55}", ACCOUNT, CONTRACT)]
Contract = Annotated[str, AfterValidator(parse_contract), shown("C[A-Z2-7]{55}", CONTRACT)]
Amount = Annotated[str, AfterValidator(parse_amount), _amount]
PositiveAmount = Annotated[str, AfterValidator(parse_amount), AfterValidator(_positive), _amount]
Seconds = Annotated[StrictInt, Field(ge=0, le=MAX_TIME, description="Unix seconds")]
EndTime = Annotated[Seconds, AfterValidator(_end_after_start)]
_hash = "[0-9a-fA-F]{64}"
TransactionHash = Annotated[str, form(_hash, "64 hex digits", str.lower), shown(_hash, HASH)]
EventIndex = Annotated[StrictInt, Field(ge=0, le=_MAX_INDEX)]
_id = "[sS][tT][rR][eE][aA][mM]-[0-9a-zA-Z-]{1,120}"
StreamId = Annotated[
    str,
    form(_id, "a stream's id, as in stream-<transaction hash>-<event index>", normal_id),
    shown(_id, STREAM),
]
