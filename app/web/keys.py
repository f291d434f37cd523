"""The keys that may write, and the routes that need one."""

import hashlib
import hmac
from collections.abc import Awaitable, Callable
from functools import wraps
from http import HTTPStatus
from typing import ParamSpec, TypeVar

from quart import Response, current_app, g, request

from app.web.problems import problem

Parameters = ParamSpec("Parameters")

Result = TypeVar("Result")


class Keys:
    """The keys that may write, known by their hashes."""

    def __init__(self, hashes: frozenset[str]) -> None:
        """`hashes`: as `app.settings.hash_key` writes them."""
        self._hashes = hashes

    def identify(self, key: str) -> str | None:
        """Return the hash of a key that may write; None for another. Takes as long for any."""
        given = f"sha256:{hashlib.sha256(key.encode()).hexdigest()}"
        known = [hmac.compare_digest(given, each) for each in self._hashes]
        return given if any(known) else None


def presented_key() -> str | None:
    """Return the key that the request shows: `Authorization: Bearer`, or `X-API-Key`."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token:
        return token.strip()
    return request.headers.get("X-API-Key")


def requires_key(
    handler: Callable[Parameters, Awaitable[Result]],
) -> Callable[Parameters, Awaitable[Result | Response]]:
    """Let only requests with a known key through; `g.key_id` tells which. Goes outside of all parsing."""

    @wraps(handler)
    async def guarded(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Result | Response:
        keys: Keys = current_app.extensions["fluxora"].keys
        key = presented_key()
        identity = keys.identify(key) if key else None
        if identity is None:
            detail = "this needs a key: Authorization: Bearer <key>, or X-API-Key"
            refusal = problem(HTTPStatus.UNAUTHORIZED, "unauthorized", "the key is not known" if key else detail)
            refusal.headers["WWW-Authenticate"] = 'Bearer realm="fluxora"'
            return refusal
        g.key_id = identity
        return await handler(*args, **kwargs)

    guarded.requires_key = True  # type: ignore[attr-defined]
    return guarded
