"""JSON objects that name a member twice."""

import json
from typing import Any

from app.core.errors import FieldError, InvalidInput


def refuse_duplicates(text: str | bytes) -> None:
    """Raise InvalidInput for an object that names a member twice.

    RFC 8259 leaves open which of the two counts, so what we check and what another reader takes could differ.
    """
    try:
        json.loads(text, object_pairs_hook=_unique)
    except RecursionError:
        raise InvalidInput(FieldError("message", "is nested too deeply")) from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        names = [name for name, _ in pairs]
        twice = sorted({name for name in names if names.count(name) > 1})
        raise InvalidInput(*(FieldError(name, "is given more than once") for name in twice))
    return members
