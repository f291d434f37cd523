"""Whoever asks: a key's holder, a token's subject, or nobody known."""

from dataclasses import dataclass, replace
from typing import Any, Final, Self

from app.core.access.grant import ALL_SCOPES, Limit, Scope

ANONYMOUS_ID: Final = "anonymous"


@dataclass(frozen=True, slots=True)
class Principal:
    """Who it is, and what it may do.

    `id` names it for good: `key:<id>`, `jwt:<subject>`. `limit` None: it may read all streams. `expires_at` is Unix
    seconds. `credential` names what it showed, for revocations: `key:<id>` or `jti:<id>`.
    """

    id: str = ANONYMOUS_ID
    scopes: frozenset[Scope] = frozenset()
    limit: Limit | None = None
    expires_at: float | None = None
    credential: str | None = None

    @property
    def known(self) -> bool:
        """Whether it showed something."""
        return self.id != ANONYMOUS_ID

    def may(self, scope: Scope) -> bool:
        """Tell whether it has a right."""
        return scope in self.scopes

    def opened(self) -> Self:
        """Return it where everybody may read: then it may, too, and what limits it stays."""
        return replace(self, scopes=self.scopes | {Scope.STREAMS_READ})

    def to_json(self) -> dict[str, Any]:
        """Return what `from_json` takes."""
        return {
            "id": self.id,
            "scopes": sorted(self.scopes),
            "limit": None if self.limit is None else self.limit.to_json(),
            "expiresAt": self.expires_at,
            "credential": self.credential,
        }

    @classmethod
    def from_json(cls, given: dict[str, Any]) -> Self:
        """Return the principal that `to_json` wrote."""
        limit = None if given["limit"] is None else Limit.from_json(given["limit"])
        scopes = frozenset(map(Scope, given["scopes"]))
        return cls(given["id"], scopes, limit, given["expiresAt"], given["credential"])


ANONYMOUS: Final = Principal()
OPERATOR_SCOPES: Final = ALL_SCOPES
"""Of a key in API_KEYS."""
