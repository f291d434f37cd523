"""Where a request shows who asks."""

from base64 import urlsafe_b64decode
from binascii import Error
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from quart.wrappers.base import BaseRequestWebsocket

from app.core.errors import FieldError, InvalidInput

COOKIE: Final = "__Host-fluxora"
TICKET: Final = "ticket"
SUBPROTOCOL: Final = "fluxora.v1"
_BEARER: Final = "bearer."
_KUBERNETES: Final = f"base64url.bearer.authorization.{SUBPROTOCOL}."
"""As Kubernetes' API server takes tokens from browsers."""

_SECRETS_IN_URLS: Final = ("token", "access_token", "api_key", "apikey", "jwt", "authorization")


class Way(Enum):
    """How it was shown."""

    HEADER = auto()
    SUBPROTOCOL = auto()
    COOKIE = auto()


@dataclass(frozen=True, slots=True)
class Credential:
    """A key, a token or a session's id."""

    text: str
    way: Way


def credential_of(client: BaseRequestWebsocket) -> Credential | None:
    """Return what a request shows; None: nothing, or nothing but an empty text.

    Raises InvalidInput where a secret is in the URL: it would be in logs, histories and Referer headers.
    """
    for name in client.args:
        if name.lower() in _SECRETS_IN_URLS:
            message = "secrets do not belong into addresses; get a ticket from POST /api/tickets, and send ?ticket="
            raise InvalidInput(FieldError(name, message))
    scheme, _, token = client.headers.get("Authorization", "").partition(" ")
    shown = (token.strip() if scheme.lower() == "bearer" else "") or client.headers.get("X-API-Key", "")
    if shown:
        return Credential(shown, Way.HEADER)
    if (offered := _offered_token(client)) is not None:
        return Credential(offered, Way.SUBPROTOCOL)
    session = client.cookies.get(COOKIE)
    return Credential(session, Way.COOKIE) if session else None


def subprotocol_of(client: BaseRequestWebsocket) -> str | None:
    """Return the subprotocol to choose: ours if it is offered, never one that holds a token."""
    return SUBPROTOCOL if SUBPROTOCOL in _offered(client) else None


def _offered(client: BaseRequestWebsocket) -> list[str]:
    lines = ",".join(client.headers.getlist("Sec-WebSocket-Protocol"))
    return [each.strip() for each in lines.split(",")] if lines else []


def _offered_token(client: BaseRequestWebsocket) -> str | None:
    for each in _offered(client):
        if each.startswith(_KUBERNETES):
            text = each.removeprefix(_KUBERNETES)
            try:
                return urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode() or None
            except (Error, ValueError):
                raise InvalidInput(FieldError("Sec-WebSocket-Protocol", "the token in it is no base64url")) from None
        if each.startswith(_BEARER):
            return each.removeprefix(_BEARER) or None
    return None
