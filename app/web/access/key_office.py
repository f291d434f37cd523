"""Makes, renews and revokes API keys."""

import time
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Final

from app.core.access.grant import Limit, Scope
from app.core.access.ports import AccessStore, Actor, ApiKey
from app.core.errors import NotFound
from app.web.access.secrets import digest_of, new_key

GRACE_SECONDS: Final = 86_400.0


@dataclass(frozen=True, slots=True)
class KeyOffice:
    """Changes the keys of the database."""

    store: AccessStore

    async def create(
        self, name: str, scopes: Collection[Scope], limit: Limit | None, lifetime: float | None, actor: Actor
    ) -> tuple[str, ApiKey]:
        """Return a new key, and what is stored of it. `lifetime`: seconds; None: for good. Raises Unavailable."""
        secret, key_id = new_key()
        now = time.time()
        expires_at = None if lifetime is None else now + lifetime
        key = ApiKey(key_id, name, digest_of(secret), frozenset(scopes), limit, now, expires_at, None, None)
        await self.store.add_key(key, replace(actor, detail={"key": key_id, "name": name}))
        return secret, key

    async def rotate(self, key_id: str, grace: float, actor: Actor) -> tuple[str, ApiKey]:
        """Return a new key with the same rights; the old one ends after `grace` seconds. Raises NotFound, Unavailable.

        Its own end, if it has one, is the new key's end, too.
        """
        old = next((each for each in await self.store.keys() if each.id == key_id and each.valid(time.time())), None)
        if old is None:
            raise NotFound(_unknown(key_id))
        lifetime = None if old.expires_at is None else old.expires_at - time.time()
        made = await self.create(old.name, old.scopes, old.limit, lifetime, actor)
        ends = time.time() + grace
        ends = ends if old.expires_at is None else min(ends, old.expires_at)
        detail = {"key": key_id, "rotated": made[1].id}
        await self.store.change_key(key_id, replace(actor, detail=detail), expires_at=ends, revoked_at=None)
        return made

    async def revoke(self, key_id: str, actor: Actor) -> None:
        """End a key, and the connections that showed it, in every process. Raises NotFound, Unavailable."""
        detail = {"key": key_id}
        noted = replace(actor, detail=detail)
        if not await self.store.change_key(key_id, noted, expires_at=None, revoked_at=time.time()):
            raise NotFound(_unknown(key_id))


def _unknown(key_id: str) -> str:
    return f"there is no key {key_id} that is valid"
