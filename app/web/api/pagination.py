"""Page sizes."""

import re
from typing import Final

from werkzeug.datastructures import MultiDict

from app.core.errors import FieldError, InvalidInput

_NUMBER: Final = re.compile("[0-9]{1,9}")


def limit(args: MultiDict[str, str], *, default: int, most: int) -> int:
    """Return the page size. Raises InvalidInput."""
    text = args.get("limit", str(default))
    if not _NUMBER.fullmatch(text) or not 1 <= int(text) <= most:
        raise InvalidInput(FieldError("limit", f"must be a number from 1 to {most}"))
    return int(text)
