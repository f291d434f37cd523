"""Conditional requests: RFC 9110, 13."""

import re
from http import HTTPStatus
from typing import Final, NamedTuple

from quart import Response, request
from werkzeug.datastructures import Headers

from app.core.errors import FieldError, InvalidInput
from app.core.precondition import Precondition

_TAG: Final = re.compile(r'\s*(?:(?:W/)?"([\x21\x23-\x7e\x80-\xff]*)"|([0-9]{1,9}))?\s*(?:,|$)')
"""One entity-tag of a list, which may have empty elements (RFC 9110, 5.6.1 and 8.8.3); a bare version is forgiven."""

_SUFFIX: Final = re.compile(r"[-;:]+(?:gzip|br|zstd|deflate|df)$")
"""What proxies and servers that compress add to a tag."""

_VERSION: Final = re.compile("[0-9]{1,9}")
_KEPT_IN_304: Final = frozenset(
    {"cache-control", "etag", "vary", "last-event-id", "link", "x-request-id", "expires", "content-location"}
)


class Tags(NamedTuple):
    """The tags of an `If-Match` or `If-None-Match`, without weakness and suffixes; `any`: it is `*`."""

    any: bool
    tags: frozenset[str]

    def match(self, tag: str) -> bool:
        """Tell whether the tag is among them."""
        return self.any or _opaque(tag) in self.tags

    @property
    def versions(self) -> frozenset[int]:
        """The versions among them; others never match a stream."""
        return frozenset(int(tag) for tag in self.tags if _VERSION.fullmatch(tag))


def parse_tags(headers: Headers, name: str) -> Tags | None:
    """Return the tags in a header, which may come in several lines; None: it is not there. Raises InvalidInput.

    Every version of a stream has one tag, so a weak or suffixed one, as proxies make them, names it just as well:
    a deviation from 13.1.1, which would refuse those to writers behind such a proxy.
    """
    lines = headers.getlist(name)
    if not lines:
        return None
    text = ",".join(lines).strip()
    if text == "*":
        return Tags(any=True, tags=frozenset())
    found, position = set(), 0
    while position < len(text):
        match = _TAG.match(text, position)
        if match is None:
            break
        position = match.end()
        tag = match[1] if match[1] is not None else match[2]
        if tag is not None:
            found.add(_SUFFIX.sub("", tag))
    if position < len(text) or not found:
        raise InvalidInput(FieldError(name, 'must be `*` or a list of entity tags, as in "7" or "7", "8"'))
    return Tags(any=False, tags=frozenset(found))


def precondition() -> Precondition | None:
    """Return what the request says of the version that it wants to change. Raises InvalidInput."""
    wanted, unwanted = parse_tags(request.headers, "If-Match"), parse_tags(request.headers, "If-None-Match")
    if wanted is None and unwanted is None:
        return None
    return Precondition(
        any_of=None if wanted is None or wanted.any else wanted.versions,
        none_of=unwanted.versions if unwanted else frozenset(),
        never=unwanted is not None and unwanted.any,
    )


def not_modified(response: Response) -> Response:
    """Return 304 instead of an answer that the client, or a cache on its way, has already."""
    tag = response.headers.get("ETag")
    if request.method not in ("GET", "HEAD") or response.status_code != HTTPStatus.OK or tag is None:
        return response
    try:
        known = parse_tags(request.headers, "If-None-Match")
    except InvalidInput:  # a reader gets the whole answer rather than an error
        known = None
    if known is None or not known.match(tag):
        return response
    short = Response(status=HTTPStatus.NOT_MODIFIED)
    for name in ("Content-Type", "Content-Length"):
        short.headers.pop(name, None)
    for name, value in response.headers:
        if name.lower() in _KEPT_IN_304:
            short.headers.add(name, value)
    return short


def _opaque(tag: str) -> str:
    return _SUFFIX.sub("", tag.removeprefix("W/").strip('"'))
