"""Tells who asks, by what a request shows."""

import time
from collections.abc import Callable
from typing import Final, Never

from limits import parse
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter
from quart.wrappers.base import BaseRequestWebsocket

from app.core.access.ports import AccessStore
from app.core.access.principal import ANONYMOUS, Principal
from app.core.errors import Forbidden, TooManyRequests, Unauthorized
from app.web.access.credentials import Credential, Way, credential_of
from app.web.access.keyring import Keyring
from app.web.access.revoked import Revoked
from app.web.access.secrets import digest_of, new_secret
from app.web.access.tokens import Tokens

TICKET_SECONDS: Final = 30
SESSION_SECONDS: Final = 12 * 3600
_FAILURES: Final = parse("20/minute")
_SESSION, _TICKET = "session", "ticket"


class Gate:
    """Knows keys, tokens, sessions and tickets."""

    def __init__(
        self,
        keyring: Keyring,
        tokens: Tokens,
        revoked: Revoked,
        store: AccessStore,
        *,
        signed_in: bool,
        now: Callable[[], float] = time.time,
    ) -> None:
        """`signed_in`: reading needs a credential, too."""
        self.keyring = keyring
        self.tokens = tokens
        self.revoked = revoked
        self.store = store
        self.signed_in = signed_in
        self.refused = 0
        self._now = now
        self._failures = MovingWindowRateLimiter(MemoryStorage())

    async def principal(self, client: BaseRequestWebsocket, address: str) -> Principal:
        """Return who sends a request from an address: ANONYMOUS if it shows nothing.

        Raises Unauthorized for what is no good, TooManyRequests where an address showed that too often, Forbidden for
        a cookie that another page may have sent along, InvalidInput for a secret in the URL, Unavailable.
        """
        shown = credential_of(client)
        if shown is None:
            return ANONYMOUS
        try:
            found = await self.identify(shown)
        except Unauthorized:
            self._slow_down(address)
            raise
        if shown.way is Way.COOKIE and _changes(client) and "Origin" not in client.headers:
            message = "a request with the cookie that changes something must say its Origin"
            raise Forbidden(message)
        return found

    async def identify(self, shown: Credential) -> Principal:
        """Return whose credential it is. Raises Unauthorized, Unavailable."""
        if shown.way is Way.COOKIE:
            document = await self.store.find(_SESSION, digest_of(shown.text), self._now())
            if document is None:
                self._refuse("the session is over")
            found = Principal.from_json(document)
        elif shown.text.count(".") == 2 and self.tokens.accepted:  # noqa: PLR2004 - RFC 7515, 7.1: three parts
            found = await self.tokens.principal(shown.text)
        else:
            known = await self.keyring.principal(shown.text)
            if known is None:
                self._refuse("the key is not known")
            found = known
        self._check(found)
        return found

    async def spend(self, ticket: str, address: str) -> Principal:
        """Return whose ticket it is; it is spent. Raises Unauthorized, TooManyRequests, Unavailable."""
        document = await self.store.take(_TICKET, digest_of(ticket), self._now())
        if document is None:
            self._slow_down(address)
            self._refuse("the ticket was used, is older than its time, or was never given")
        found = Principal.from_json(document)
        self._check(found)
        return found

    async def ticket_for(self, principal: Principal) -> tuple[str, int]:
        """Return a new ticket, and its seconds. Raises Unavailable."""
        return await self._give(_TICKET, principal, TICKET_SECONDS), TICKET_SECONDS

    async def session_for(self, principal: Principal) -> tuple[str, int]:
        """Return a new session's id, and its seconds: no longer than what was shown. Raises Unavailable."""
        left = SESSION_SECONDS if principal.expires_at is None else int(principal.expires_at - self._now())
        seconds = max(1, min(SESSION_SECONDS, left))
        return await self._give(_SESSION, principal, seconds), seconds

    async def end_session(self, session: str) -> None:
        """End a session. Raises Unavailable."""
        await self.store.drop(_SESSION, digest_of(session))

    async def _give(self, kind: str, principal: Principal, seconds: int) -> str:
        secret = new_secret()
        await self.store.put(kind, digest_of(secret), principal.to_json(), self._now() + seconds)
        return secret

    def _check(self, found: Principal) -> None:
        if self.revoked.has(found.credential):
            self._refuse("it was revoked")
        if found.expires_at is not None and found.expires_at <= self._now():
            self._refuse("it is expired")

    def _refuse(self, message: str) -> Never:
        raise Unauthorized(message)

    def _slow_down(self, address: str) -> None:
        self.refused += 1
        if not self._failures.hit(_FAILURES, address):
            message = "too many failed sign-ins from your address"
            raise TooManyRequests(message, retry_after=_FAILURES.get_expiry())


def _changes(client: BaseRequestWebsocket) -> bool:
    """Tell whether a request may change something, or opens a feed that another page could read."""
    return getattr(client, "method", "GET") not in {"GET", "HEAD", "OPTIONS"} or client.scope["type"] == "websocket"
