"""How an answer looks on its way: may it be kept, what names its version, is it compressed."""

import asyncio
import gzip
from hashlib import blake2b
from http import HTTPStatus
from typing import Final

from quart import Response, request
from quart.wrappers.response import DataBody

from app.web.api.conditional import not_modified

_JSON: Final = "application/json"
_SMALLEST: Final = 860
"""Bytes: what is smaller fits a packet as it is."""

_LARGE: Final = 131_072
"""Bytes: compressing more takes over a millisecond, which the loop does not have; zlib works in a thread, too."""

_LEVEL: Final = 1
"""475 KB of events: 2.8 ms and 111 KB; level 6 takes 7.6 ms for 98 KB."""


async def represented(response: Response) -> Response:
    """Return an answer with its `Cache-Control`, as 304 where the client has it, or compressed where it is JSON."""
    response.headers.setdefault("Cache-Control", _cache_control(response))
    body = await _body(response)
    readable = request.method in ("GET", "HEAD") and response.status_code == HTTPStatus.OK
    if body is not None and readable and "no-store" not in response.headers["Cache-Control"]:
        response.headers.setdefault("ETag", f'"{blake2b(body, digest_size=12).hexdigest()}"')
    if body is not None:
        response.vary.add("Accept-Encoding")
    if body is None or not _wants_gzip(body):
        return not_modified(response)
    # Other bytes than the plain form's, so a weak tag (RFC 9110, 8.8.1).
    if (tag := response.headers.get("ETag")) and not tag.startswith("W/"):
        response.headers["ETag"] = f"W/{tag}"
    short = not_modified(response)
    if short is response:
        response.set_data(await _compressed(body))
        response.headers["Content-Encoding"] = "gzip"
    return short


def _cache_control(response: Response) -> str:
    """Let caches keep what was read, and ask again each time; errors and what a write answers are for once."""
    return (
        "no-cache"
        if request.method in ("GET", "HEAD") and response.status_code < HTTPStatus.BAD_REQUEST
        else "no-store"
    )


async def _body(response: Response) -> bytes | None:
    """Return the JSON of an answer; never that of a feed."""
    if response.mimetype != _JSON or not isinstance(response.response, DataBody):
        return None
    return response.response.data


def _wants_gzip(body: bytes) -> bool:
    return len(body) >= _SMALLEST and request.accept_encodings.quality("gzip") > 0


async def _compressed(body: bytes) -> bytes:
    if len(body) < _LARGE:
        return gzip.compress(body, _LEVEL, mtime=0)
    return await asyncio.to_thread(gzip.compress, body, _LEVEL, mtime=0)
