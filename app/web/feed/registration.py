"""An admitted client of the feed, from admission to its line in the log."""

import asyncio
import time
from secrets import token_hex
from typing import Any, NamedTuple

import structlog

from app.core import messages
from app.core.access.grant import Scope, narrowed
from app.core.access.principal import Principal
from app.core.clock import timestamp, utc_now
from app.core.errors import FluxoraError, Forbidden, TooManyRequests, Unauthorized
from app.core.messages import Close
from app.web.access.credentials import Credential, Way
from app.web.access.policy import admitted
from app.web.admission import Admission
from app.web.feed.close_codes import DISMISSED, EXPIRED, ended_by
from app.web.feed.connection import ClientConnection
from app.web.feed.liveness import VERDICTS
from app.web.feed.query import FeedQuery
from app.web.services import Services

_logger = structlog.get_logger(__name__)


class Client(NamedTuple):
    """Who was admitted, and what it wants. `request_id` names its request in the log."""

    admission: Admission
    query: FeedQuery
    principal: Principal
    request_id: str


class Registration:
    """What a client holds here: its place, its subscription, its watch, and its lines in the log.

    `reason` is why it ended, as far as is known. Whoever registers it calls `close`.
    """

    __slots__ = (
        "_admission",
        "_begun",
        "_code",
        "_renewing",
        "_request_id",
        "_running",
        "_timer",
        "_timers",
        "began_at",
        "id",
        "principal",
        "reason",
        "subscription",
        "watched",
    )

    def __init__(self, running: Services, client: Client, connection: ClientConnection) -> None:
        """Subscribe to what the client chose and may read, and watch the connection."""
        admission, query, principal, self._request_id = client
        self.id = token_hex(6)
        self.principal = principal
        self.reason = "client left"
        self.began_at = timestamp(utc_now())
        wanted = narrowed(query.wanted, principal.limit)
        self.subscription = running.feed.open(wanted, query.cursor, greeting=query.greeting, live=query.live)
        self.watched = running.liveness.watch(connection)
        self._running = running
        self._admission: Admission | None = admission
        self._begun = time.monotonic()
        self._timer: asyncio.TimerHandle | None = None
        self._timers: tuple[asyncio.TimerHandle, ...] = ()
        self._renewing: asyncio.Task[None] | None = None
        self._code = 0
        running.traffic.opened[admission.transport] += 1
        running.connections.add(self)
        self._watch_expiry()
        self._log("connected", admission, resumed=query.cursor is not None, **query.wanted.to_json())

    def close(self) -> None:
        """Give everything back; the first call counts."""
        admission, self._admission = self._admission, None
        if admission is None:
            return
        for timer in (self._timer, *self._timers):
            if timer is not None:
                timer.cancel()
        if self._renewing is not None:
            self._renewing.cancel()
        self._running.connections.discard(self)
        self._running.feed.forget(self.subscription)
        self._running.liveness.forget(self.watched)
        admission.release()
        why, code = ended_by(self._code)
        if self.watched.verdict in VERDICTS:
            why = self.watched.verdict
        self._running.traffic.closed[admission.transport, why, code] += 1
        self._running.traffic.bytes[admission.transport] += self.watched.connection.written
        seconds = round(time.monotonic() - self._begun, 3)
        self._log("disconnected", admission, reason=self.watched.verdict or self.reason, seconds=seconds)

    def end_soon(self, close: Close) -> None:
        """End the connection after `close_timeout`, if it is still open; the first call counts."""
        self.reason = close.reason
        self._code = self._code or close.code
        if self._timer is None:
            seconds = self._running.settings.close_timeout
            self._timer = asyncio.get_running_loop().call_later(seconds, self.watched.end, self.reason)

    @property
    def transport(self) -> str:
        """How it is connected."""
        return self._admission.transport if self._admission else ""

    @property
    def address(self) -> str:
        """From where."""
        return self._admission.address if self._admission else ""

    def dismiss(self, reason: str) -> None:
        """End it for good: who comes back with the same credential is refused."""
        self.subscription.close(Close(DISMISSED, reason))

    def renew(self, token: str | None, ticket: str | None) -> None:
        """Go on with another credential of the same principal; answered in the order of the feed."""
        if self._renewing is None or self._renewing.done():
            self._renewing = asyncio.create_task(self._renew(token, ticket))
        else:
            self.subscription.say(messages.error("busy", "a renewal is being looked at already"))

    async def _renew(self, token: str | None, ticket: str | None) -> None:
        gate = self._running.gate
        try:
            if ticket is not None:
                found = await gate.spend(ticket, self.address)
            else:
                found = await gate.identify(Credential(token or "", Way.HEADER))
            found = admitted(found, Scope.STREAMS_READ, signed_in=gate.signed_in)
        except (Unauthorized, Forbidden, TooManyRequests) as error:
            self.dismiss(str(error))
        except FluxoraError as error:
            self.subscription.say(messages.error("unavailable", str(error)))
        else:
            if found.id != self.principal.id:
                self.dismiss("the token is another subject's")
                return
            self.principal = found
            self.subscription.limit(found.limit)
            self.subscription.say(messages.authorized(found.expires_at))
            self._watch_expiry()

    def _watch_expiry(self) -> None:
        """Say that the credential is over soon, and end with it."""
        for timer in self._timers:
            timer.cancel()
        self._timers = ()
        if (expires_at := self.principal.expires_at) is None:
            return
        loop, left = asyncio.get_running_loop(), max(0.0, expires_at - time.time())
        soon = max(0.0, left - self._running.settings.token_expiring_seconds)
        self._timers = (
            loop.call_later(soon, lambda: self.subscription.say(messages.expiring(expires_at))),
            loop.call_later(left, lambda: self.subscription.close(Close(EXPIRED, "the credential is expired"))),
        )

    def _log(self, event: str, admission: Admission, **fields: Any) -> None:
        counts = self._running.guard.by_transport
        _logger.info(
            event,
            connection_id=self.id,
            request_id=self._request_id,
            transport=admission.transport,
            address=admission.address,
            **({"principal": self.principal.id} if self.principal.known else {}),
            **fields,
            websockets=counts["websocket"],
            sse=counts["sse"],
        )
