"""The API keys: those of the settings, and those in the database."""

import asyncio
import hmac
import time
from collections.abc import Callable
from typing import Final

import structlog

from app.core.access.ports import AccessStore, ApiKey
from app.core.access.principal import OPERATOR_SCOPES, Principal
from app.core.errors import FluxoraError
from app.web.access.revoked import Ended, nobody
from app.web.access.secrets import digest_of, key_id_of

_LOOK_SECONDS: Final = 0.5
_FRESH_SECONDS: Final = 0.2
"""A key that is not known may have been made a moment ago, by another process; looked for no more often than this."""

_NOBODYS: Final = digest_of("")
_NOTE_SECONDS: Final = 60.0
_logger = structlog.stdlib.get_logger(__name__)


class Keyring:
    """Knows keys by their hashes. A change in the database counts within half a second."""

    def __init__(self, hashes: frozenset[str], store: AccessStore, *, now: Callable[[], float] = time.time) -> None:
        """`hashes`: keys of the settings, as `digest_of` writes them; they have all scopes."""
        self._hashes = hashes
        self._store = store
        self._now = now
        self._stored: dict[str, ApiKey] = {}
        self._looked_at = 0.0
        self._used: dict[str, float] = {}
        self._noted_at = 0.0
        self.ended: Ended = nobody
        """Told the credentials of keys that are not valid any more."""

    async def principal(self, key: str) -> Principal | None:
        """Return whose key it is; None: nobody's that is valid now. Raises Unavailable."""
        digest = digest_of(key)
        known_hashes = [hmac.compare_digest(digest, each) for each in self._hashes]
        if any(known_hashes):
            return Principal(f"key:{digest.removeprefix('sha256:')[:12]}", OPERATOR_SCOPES, credential=digest)
        key_id = key_id_of(key)
        if key_id is None:
            return None
        if key_id not in self._stored and self._now() - self._looked_at > _FRESH_SECONDS:
            await self.look()
        known = self._stored.get(key_id)
        # Compared all the same: how long it takes must not tell which ids there are.
        same = hmac.compare_digest(digest, known.hash if known else _NOBODYS)
        if known is None or not same or not known.valid(self._now()):
            return None
        self._used[key_id] = self._now()
        return Principal(f"key:{key_id}", known.scopes, known.limit, known.expires_at, f"key:{key_id}")

    @property
    def any(self) -> bool:
        """Whether there is a key that is valid now."""
        return bool(self._hashes) or any(each.valid(self._now()) for each in self._stored.values())

    async def run(self) -> None:
        """Look for changes until cancelled."""
        while True:
            try:
                await self.look()
                await self._note()
            except FluxoraError as error:
                _logger.debug("keys_not_read", reason=str(error))
            await asyncio.sleep(_LOOK_SECONDS)

    async def look(self) -> None:
        """Read the keys. Raises Unavailable."""
        self._looked_at = self._now()
        before, now = self._stored, self._now()
        self._stored = {key.id: key for key in await self._store.keys()}
        for key_id, key in self._stored.items():
            if not key.valid(now) and (key_id not in before or before[key_id].valid(now - _LOOK_SECONDS)):
                await self.ended(f"key:{key_id}")
        for key_id in before.keys() - self._stored.keys():
            await self.ended(f"key:{key_id}")

    async def _note(self) -> None:
        """Store when keys were used, now and then: it is for people."""
        if self._used and self._now() - self._noted_at > _NOTE_SECONDS:
            self._noted_at = self._now()
            used, self._used = self._used, {}
            await self._store.used(used)
