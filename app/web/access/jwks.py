"""The keys of whoever signs tokens: a JWKS document (RFC 7517), from a file or an address."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import httpx
import jwt
import orjson
import structlog

_LEAST_SECONDS: Final = 30.0
"""Between two fetches: tokens with made-up key ids must not hammer the server."""

_MOST_AGE_SECONDS: Final = 3600.0
_FETCH_SECONDS: Final = 5.0
_MOST_BYTES: Final = 262_144
_logger = structlog.stdlib.get_logger(__name__)


class Jwks:
    """A set of public keys. The last good set is kept when its source is down."""

    def __init__(self, source: str, *, now: Callable[[], float] = time.monotonic) -> None:
        """`source`: a path, or an http(s) address."""
        self._source = source
        self._now = now
        self._keys: dict[str | None, jwt.PyJWK] = {}
        self._tried_at = float("-inf")
        self._read_at = float("-inf")
        self._reading = asyncio.Lock()
        self.fetches = 0

    async def key(self, key_id: str | None, algorithm: str) -> jwt.PyJWK | None:
        """Return the key with an id that is for an algorithm; without an id, the only one there is."""
        found = self._find(key_id, algorithm)
        if found is None or self._now() - self._read_at > _MOST_AGE_SECONDS:
            await self._refresh()
            found = self._find(key_id, algorithm)
        return found

    def _find(self, key_id: str | None, algorithm: str) -> jwt.PyJWK | None:
        if key_id is None and len(self._keys) == 1:
            key_id = next(iter(self._keys))
        key = self._keys.get(key_id)
        return key if key is not None and key.algorithm_name == algorithm else None

    async def _refresh(self) -> None:
        async with self._reading:
            if self._now() - self._tried_at < _LEAST_SECONDS:
                return
            self._tried_at = self._now()
            self.fetches += 1
            try:
                self._keys = _parsed(await self._content())
            except (OSError, httpx.HTTPError, ValueError, jwt.PyJWTError) as error:
                _logger.warning("jwks_not_read", reason=str(error) or type(error).__name__, kept=len(self._keys))
            else:
                self._read_at = self._now()

    async def _content(self) -> bytes:
        if not self._source.startswith(("http://", "https://")):
            return await asyncio.to_thread(Path(self._source).read_bytes)
        async with httpx.AsyncClient(timeout=_FETCH_SECONDS, trust_env=False) as client:
            answer = await client.get(self._source)
            answer.raise_for_status()
            if len(answer.content) > _MOST_BYTES:
                message = "the document is too large"
                raise ValueError(message)
            return answer.content


def _parsed(content: bytes) -> dict[str | None, jwt.PyJWK]:
    """Return public keys by their ids; symmetric ones are left out: a public document would tell the secret."""
    given: Any = orjson.loads(content)
    keys: dict[str | None, jwt.PyJWK] = {}
    for each in given["keys"] if isinstance(given, dict) and isinstance(given.get("keys"), list) else ():
        if isinstance(each, dict) and each.get("kty") != "oct" and each.get("use", "sig") == "sig":
            try:
                keys[each.get("kid")] = jwt.PyJWK(each)
            except jwt.PyJWTError as error:
                _logger.warning("jwk_not_understood", kid=each.get("kid"), reason=str(error))
    if not keys:
        message = "no usable key in it"
        raise ValueError(message)
    return keys
