"""Filters as clients write them: in query strings and in control messages."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Final

from werkzeug.datastructures import MultiDict

from app.core.addresses import parse_address, parse_contract
from app.core.errors import FieldError, InvalidInput
from app.core.event import CAUSES, EventName
from app.core.filter import EventFilter
from app.core.stream import normal_id

FILTER_FIELDS: Final = ("streamId", "sender", "recipient", "event", "participant", "contractId", "cause")

_ADDRESSES: Final = frozenset({"sender", "recipient", "participant"})
CHOICES: Final[Mapping[str, Collection[str]]] = {"event": tuple(EventName), "cause": CAUSES}


def filter_of(fields: Mapping[str, Sequence[str]]) -> EventFilter:
    """Build a filter of the values given for each field; raises InvalidInput for what could never match."""
    wrong = [
        FieldError(field, problem)
        for field, values in fields.items()
        for value in values
        if (problem := _problem_with(field, value))
    ]
    if wrong:
        raise InvalidInput(*wrong)
    given = {field: frozenset(fields.get(field, ())) for field in FILTER_FIELDS}
    given["streamId"] = frozenset(map(normal_id, given["streamId"]))
    return EventFilter(*given.values())


def unknown_fields(names: Iterable[str], prefix: str = "") -> list[FieldError]:
    """Refuse names that mean nothing: a filter with a typo would let everything through."""
    known = ", ".join(FILTER_FIELDS)
    return [FieldError(f"{prefix}{name}", f"is not known here; filters are {known}") for name in sorted(names)]


def _problem_with(field: str, value: str) -> str | None:
    if field in _ADDRESSES:
        return _refusal(parse_address, value)
    if field == "contractId":
        return _refusal(parse_contract, value)
    if field in CHOICES and value not in CHOICES[field]:
        return f"must be one of {', '.join(CHOICES[field])}"
    if not value:
        return "must not be empty"
    return None


def _refusal(rule: Callable[[str], str], value: str) -> str | None:
    try:
        rule(value)
    except ValueError as error:
        return str(error)
    return None


def event_filter(args: MultiDict[str, str], others: Collection[str]) -> EventFilter:
    """Return the filter in a query string that may also have the parameters `others`. Raises InvalidInput."""
    unknown = set(args) - set(FILTER_FIELDS) - set(others)
    if unknown:
        raise InvalidInput(*unknown_fields(unknown))
    return filter_of({name: args.getlist(name) for name in FILTER_FIELDS})
