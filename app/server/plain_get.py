"""Requests without a body that leave no question open, read from one packet."""

import re
from typing import Final, NamedTuple

from app.server.requests import is_host

_GET: Final = re.compile(
    rb"GET (/[0-9A-Za-z/_-]*)(?:\?([!$-;=?-Z_a-z~]*))? HTTP/1\.1\r\n"
    rb"((?:[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t -~]*\r\n){1,64})\r\n"
)
"""To the letter of RFC 9112 (3.1, 5.1, 5.6.2), and narrower: what is written more freely is not looked at further."""

_BODY: Final = frozenset({"content-length", "transfer-encoding", "expect", "te", "trailer", "http2-settings"})


class PlainGet(NamedTuple):
    """A GET. `fields` are its headers: names in small letters, no name twice."""

    path: str
    query: str
    fields: dict[str, str]


def plain_get(data: bytes, paths: frozenset[bytes]) -> PlainGet | None:
    """Return the request that these bytes are, to the last one; None: nothing is known, a whole parser must look."""
    match = _GET.fullmatch(data)
    if match is None or match[1] not in paths:
        return None
    lines = match[3].decode("ascii").split("\r\n")[:-1]
    pairs = [line.split(":", 1) for line in lines]
    fields = {name.lower(): value.strip(" \t") for name, value in pairs}
    if len(fields) < len(lines) or not _BODY.isdisjoint(fields):
        return None
    if "host" not in fields or not is_host(fields["host"].encode()):
        return None
    return PlainGet(match[1].decode("ascii"), (match[2] or b"").decode("ascii"), fields)
