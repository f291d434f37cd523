"""A client of the feeds, from its request to its place."""

from quart import g
from quart.wrappers.base import BaseRequestWebsocket

from app.core.access.grant import Scope
from app.core.access.principal import ANONYMOUS
from app.web.access.credentials import credential_of
from app.web.access.policy import admitted
from app.web.feed.query import FeedQuery
from app.web.feed.registration import Client
from app.web.services import Services
from app.web.transports import Transport


async def admit(running: Services, transport: Transport, client: BaseRequestWebsocket, query: FeedQuery) -> Client:
    """Return a client with its place.

    A ticket is spent last, when there is a place: whoever is told to come later still has it.
    Raises Refused without a place, and what `Gate.principal` and `admitted` raise.
    """
    gate, peek = running.gate, getattr(client, "method", "GET") == "HEAD"
    principal = ANONYMOUS
    if query.ticket is None:
        principal = admitted(await gate.principal(client, g.address), Scope.STREAMS_READ, signed_in=gate.signed_in)
    admission = running.guard.admit(transport, g.address, principal.id if principal.known else None)
    try:
        if query.ticket is not None and not peek:
            found = await gate.spend(query.ticket, g.address)
            principal = admitted(found, Scope.STREAMS_READ, signed_in=gate.signed_in)
    except BaseException:
        admission.release()
        raise
    return Client(admission, query, principal, g.request_id)


def refuse_secrets(client: BaseRequestWebsocket) -> None:
    """Raise InvalidInput for a secret in the URL."""
    credential_of(client)
