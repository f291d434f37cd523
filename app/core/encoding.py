"""JSON as it goes over the wire: one encoding for the log, the feeds and the API."""

import re
from typing import Any, Final

import orjson

_BREAKS: Final = re.compile(rb"\x7f|\xc2[\x80-\x9f]|\xe2\x80[\xa8\xa9]")
"""DEL, the C1 controls (NEL, U+0085, among them), LINE and PARAGRAPH SEPARATOR, in UTF-8.

Legal in JSON strings, but some SSE clients split lines there, as Python's `str.splitlines` does, and a line that is
split loses its event. What is below U+0020 is escaped by JSON itself.
"""


def encode(value: Any) -> bytes:
    """Return a value as JSON in UTF-8, on one line in everybody's eyes. Raises TypeError for what JSON has not."""
    data = orjson.dumps(value)
    # Nearly all of it is plain ASCII: to see that takes 20 ns, the search some microseconds.
    if data.isascii() and b"\x7f" not in data:
        return data
    return _BREAKS.sub(lambda found: b"\\u%04x" % ord(found[0].decode()), data)
