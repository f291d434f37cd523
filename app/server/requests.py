"""Requests as RFC 9110 and 9112 read them: what h11 lets through and must not be served, and what it does not join."""

import base64
import binascii
import re
from http import HTTPStatus
from typing import Final

import h11

from app.server.refusal import Refusal

_LISTS: Final = (b"connection", b"upgrade", b"sec-websocket-extensions", b"sec-websocket-protocol")
_HEAD_BYTES: Final = 16 * 1024
"""h11 keeps to this while a head is incomplete; one that comes at once is held to the same."""

_HOST: Final = re.compile(rb"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~!$&'()*+,;=%-]*)(:[0-9]*)?")
_ABSOLUTE: Final = re.compile(rb"https?://([^/?#]*)([/?].*)?", re.IGNORECASE)
_VERSION: Final = b"13"
_NONCE_BYTES: Final = 16


def checked(request: h11.Request) -> h11.Request:
    """Return a request with one line for each list header, and a path for its target. Raises Refusal."""
    _check_framing(request)
    target, authority = _path_of(request)
    headers: list[tuple[bytes, bytes]] = []
    joined: dict[bytes, list[bytes]] = {}
    for name, value in request.headers:
        if name in _LISTS:
            joined.setdefault(name, []).append(value)
        elif name == b"host" and authority is not None:
            headers.append((name, authority))  # the target's goes before the header's (RFC 9112, 3.2.2)
        else:
            headers.append((name, value))
    lists = {name: b", ".join(lines) for name, lines in joined.items()}
    if b"upgrade" in lists:
        lists[b"upgrade"] = _served(lists[b"upgrade"])
    return h11.Request(
        method=request.method,
        target=target,
        headers=headers + list(lists.items()),
        http_version=request.http_version,
    )


def opens_websocket(request: h11.Request) -> bool:
    """Tell whether a checked request is a WebSocket handshake (RFC 6455, 4.2.1), whole and right.

    Any other is a plain request, and the app says what it wants.
    """
    headers = dict(request.headers)
    keys = [value for name, value in request.headers if name == b"sec-websocket-key"]
    return (
        request.method == b"GET"
        and request.http_version == b"1.1"
        and headers.get(b"upgrade", b"").lower() == b"websocket"
        and b"upgrade" in [token.strip() for token in headers.get(b"connection", b"").lower().split(b",")]
        and [value for name, value in request.headers if name == b"sec-websocket-version"] == [_VERSION]
        and len(keys) == 1
        and _is_nonce(keys[0])
        and all(headers.get(name, b"").isascii() for name in _LISTS)
    )


def is_host(value: bytes) -> bool:
    """Tell whether this may be a Host header (RFC 9110, 7.2)."""
    return _HOST.fullmatch(value) is not None


def _check_framing(request: h11.Request) -> None:
    """Refuse what others may read as another request (RFC 9112, 6.1 and 6.3), or what is no request of ours."""
    headers = dict(request.headers)
    if not request.http_version.startswith(b"1."):
        raise Refusal(HTTPStatus.HTTP_VERSION_NOT_SUPPORTED, "This service speaks HTTP/1.1.")
    if b"transfer-encoding" in headers and b"content-length" in headers:
        raise Refusal(HTTPStatus.BAD_REQUEST, "Content-Length and Transfer-Encoding must not be sent together.")
    if b"transfer-encoding" in headers and request.http_version != b"1.1":
        raise Refusal(HTTPStatus.BAD_REQUEST, "HTTP/1.0 has no Transfer-Encoding.")
    if sum(len(name) + len(value) + 4 for name, value in request.headers) + len(request.target) > _HEAD_BYTES:
        raise Refusal(
            HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, f"The request's head is larger than {_HEAD_BYTES} bytes."
        )
    if not is_host(headers.get(b"host", b"")):
        raise Refusal(HTTPStatus.BAD_REQUEST, "The header Host must be a host name, and a port if there is one.")
    expected = headers.get(b"expect", b"100-continue").lower()
    if expected != b"100-continue":
        raise Refusal(HTTPStatus.EXPECTATION_FAILED, "The only expectation that is met is 100-continue.")
    if request.method == b"CONNECT":
        raise Refusal(HTTPStatus.NOT_IMPLEMENTED, "This is no proxy: CONNECT is not served.")


def _path_of(request: h11.Request) -> tuple[bytes, bytes | None]:
    """Return the path and query of a target, and the authority if it names one."""
    target: bytes = request.target
    if target.startswith(b"/") or (target == b"*" and request.method == b"OPTIONS"):
        return target, None
    absolute = _ABSOLUTE.fullmatch(target)
    if absolute is None or not absolute[1] or not is_host(absolute[1]):
        raise Refusal(HTTPStatus.BAD_REQUEST, "The request's target must be a path, as in `GET /health HTTP/1.1`.")
    path = absolute[2] or b"/"
    return (path if path.startswith(b"/") else b"/" + path), absolute[1]


def _served(upgrade: bytes) -> bytes:
    """Pick the protocol that is served of those a client would change to (RFC 9110, 7.8)."""
    offered = [protocol.strip() for protocol in upgrade.split(b",")]
    return next((protocol for protocol in offered if protocol.lower() == b"websocket"), upgrade)


def _is_nonce(key: bytes) -> bool:
    try:
        return len(base64.b64decode(key, validate=True)) == _NONCE_BYTES
    except binascii.Error:
        return False
