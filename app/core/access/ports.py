"""Where keys, tickets, sessions and revocations are kept."""

from dataclasses import dataclass
from typing import Any, Protocol

from app.core.access.grant import Limit, Scope


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key as it is stored: never itself, only the hash. Times are Unix seconds; None: not (yet)."""

    id: str
    name: str
    hash: str
    scopes: frozenset[Scope]
    limit: Limit | None
    created_at: float
    expires_at: float | None
    revoked_at: float | None
    last_used_at: float | None

    def valid(self, now: float) -> bool:
        """Tell whether it may be used."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


@dataclass(frozen=True, slots=True)
class Revocation:
    """Something said to all processes.

    `what` is a credential, `principal:<id>` or `connection:<id>`, whose connections end, or `roll_call:<question>`.
    """

    id: int
    what: str
    until: float


@dataclass(frozen=True, slots=True)
class AuditRecord:
    """Who did what, when (ISO 8601), from where. `first` and `last` are the events that it made."""

    id: int
    at: str
    principal: str
    action: str
    request_id: str | None
    address: str | None
    first: str | None
    last: str | None
    count: int
    detail: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Actor:
    """Whoever asks for a write, and in which request."""

    principal: str
    action: str
    request_id: str | None = None
    address: str | None = None
    detail: dict[str, Any] | None = None


class AccessStore(Protocol):
    """Keeps keys, tickets, sessions and revocations. Every method raises Unavailable without a database."""

    async def keys(self) -> list[ApiKey]:
        """Return all keys, oldest first."""

    async def add_key(self, key: ApiKey, actor: Actor) -> None:
        """Store a new key."""

    async def change_key(
        self, key_id: str, actor: Actor, *, expires_at: float | None, revoked_at: float | None
    ) -> bool:
        """Let a key end, then or now; tells whether there is one."""

    async def used(self, seen: dict[str, float]) -> None:
        """Note when keys were used last."""

    async def put(self, kind: str, digest: str, document: dict[str, Any], until: float) -> None:
        """Store a ticket's or session's hash and what it stands for."""

    async def take(self, kind: str, digest: str, now: float) -> dict[str, Any] | None:
        """Spend a ticket: one caller gets what it stands for, once. None: spent, expired or never given."""

    async def find(self, kind: str, digest: str, now: float) -> dict[str, Any] | None:
        """Return what a session stands for."""

    async def found(self, kind: str) -> list[dict[str, Any]]:
        """Return what all of a kind stand for."""

    async def drop(self, kind: str, digest: str) -> None:
        """End a session."""

    async def revoke(self, what: str, until: float, actor: Actor) -> None:
        """Revoke something in every process; it is kept until then."""

    async def announce(self, what: str, until: float) -> None:
        """Say something to every process that is no deed, and so not recorded."""

    async def revocations(self, after: int) -> list[Revocation]:
        """Return those with ids above `after`."""

    async def note(self, actor: Actor) -> None:
        """Note what was done outside the database."""

    async def audit(self, after: int, limit: int) -> list[AuditRecord]:
        """Return records with ids above `after`, by their ids."""
