"""A WebSocket handshake, read (RFC 6455, 4.2.1): what is wrong with one, in words that say whom to ask."""

import base64
import binascii
import re
from http import HTTPStatus
from typing import Final, NamedTuple

from quart import Response

from app.web.fields import Fields
from app.web.problems import problem

EXTENSIONS: Final = "Sec-WebSocket-Extensions"
_VERSION: Final = "13"
_NONCE_BYTES: Final = 16
_UPGRADE: Final = {"Upgrade": "websocket", "Connection": "Upgrade, close"}
_CLOSE: Final = {"Connection": "close"}

_TOKEN: Final = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # noqa: S105 - RFC 9110, 5.6.2
_PARAMETER: Final = rf'\s*;\s*{_TOKEN}(?:\s*=\s*(?:{_TOKEN}|"{_TOKEN}"))?'
_EXTENSION: Final = re.compile(rf"\s*({_TOKEN}(?:{_PARAMETER})*)?\s*(?:,|$)")
_QUOTED: Final = re.compile(r'"((?:[^"\\]|\\.)*)"')
_PROTOCOLS: Final = re.compile(rf"(?:\s|,|{_TOKEN}(?=\s*(?:,|$)))*")


class Fault(NamedTuple):
    """Why a handshake is refused; `headers` go with the answer."""

    status: HTTPStatus
    slug: str
    detail: str
    headers: dict[str, str]

    @property
    def response(self) -> Response:
        """The problem document. Nothing may follow on its connection: a client may have sent frames already."""
        response = problem(self.status, self.slug, self.detail)
        response.headers.update(self.headers)
        return response


def fault_of(headers: Fields, http_version: str) -> Fault | None:
    """Return what is wrong with a handshake, if anything is."""
    if lacking := _lacking(headers, http_version):
        return Fault(HTTPStatus.UPGRADE_REQUIRED, "upgrade-required", lacking, _UPGRADE)
    if headers.getlist("Sec-WebSocket-Version") != [_VERSION]:
        detail = f"WebSocket version {_VERSION} is spoken here: `Sec-WebSocket-Version: {_VERSION}` must be sent once."
        return Fault(
            HTTPStatus.UPGRADE_REQUIRED, "websocket-version", detail, {**_UPGRADE, "Sec-WebSocket-Version": _VERSION}
        )
    keys = headers.getlist("Sec-WebSocket-Key")
    if len(keys) != 1 or not _is_nonce(keys[0]):
        return _bad("`Sec-WebSocket-Key` must be sent once, with 16 bytes in base64.")
    if any(offers_in(line) is None for line in headers.getlist(EXTENSIONS)):
        return _bad(f"`{EXTENSIONS}` must be a list as in `permessage-deflate; client_max_window_bits`.")
    if any(not _PROTOCOLS.fullmatch(line) for line in headers.getlist("Sec-WebSocket-Protocol")):
        return _bad("`Sec-WebSocket-Protocol` must be a list of names, with a comma between two.")
    return None


def offers_in(line: str) -> list[str] | None:
    """Return the extensions that a line offers, with their parameters; None if it is no list (RFC 6455, 9.1)."""
    offers, at = [], 0
    # A comma in quotes does not divide; such a value is no token, but harmless with extensions that nobody knows.
    line = _QUOTED.sub(lambda quoted: f'"{re.sub("[^A-Za-z0-9]", "_", quoted[1]) or "_"}"', line)
    while at < len(line):
        match = _EXTENSION.match(line, at)
        if match is None:
            return None
        if match[1]:
            offers.append(match[1])
        at = match.end()
    return offers


def _lacking(headers: Fields, http_version: str) -> str | None:
    """Say what of an upgrade is missing; proxies drop it unless they are told to pass it."""
    upgrades = {token.strip().lower() for line in headers.getlist("Upgrade") for token in line.split(",")}
    options = {token.strip().lower() for line in headers.getlist("Connection") for token in line.split(",")}
    missing = [
        *(["HTTP/1.1 (the request came as HTTP/1.0)"] if http_version == "1.0" else []),
        *([] if "websocket" in upgrades else ["`Upgrade: websocket`"]),
        *([] if "upgrade" in options else ["`Connection: Upgrade`"]),
    ]
    if not missing:
        return None
    return (
        f"This is a WebSocket. The request lacks {' and '.join(missing)}. "
        "A proxy in front must use HTTP/1.1 and pass the headers Upgrade and Connection; "
        "a client without WebSocket can use /sse/streams."
    )


def _bad(detail: str) -> Fault:
    return Fault(HTTPStatus.BAD_REQUEST, "bad-handshake", detail, _CLOSE)


def _is_nonce(key: str) -> bool:
    try:
        return len(base64.b64decode(key.encode("latin-1"), validate=True)) == _NONCE_BYTES
    except (binascii.Error, ValueError):
        return False
