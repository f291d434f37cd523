"""Wires what tells who may read and write."""

from functools import partial

import structlog

from app.core.access.grant import Scope
from app.core.background import Runner
from app.core.errors import FluxoraError
from app.settings import Settings
from app.store.access import SqlAccess
from app.store.store import SqlStore
from app.web.access.gate import Gate
from app.web.access.jwks import Jwks
from app.web.access.keyring import Keyring
from app.web.access.revoked import Revoked
from app.web.access.tokens import TokenRules, Tokens
from app.web.api.connections import listed
from app.web.services import Services

_logger = structlog.stdlib.get_logger(__name__)


class Unguarded(FluxoraError):
    """Nobody could tell who may write."""


def gate_of(settings: Settings, store: SqlStore) -> Gate:
    """Return the gate that the settings describe."""
    access = SqlAccess(store)
    secret = settings.jwt_secret.get_secret_value() if settings.jwt_secret else None
    rules = TokenRules(
        issuer=settings.jwt_issuer,
        audience=settings.jwt_audience,
        type=settings.jwt_type.lower() if settings.jwt_type else None,
        default_scopes=frozenset(map(Scope, settings.jwt_default_scope.split())),
        own_claim=settings.jwt_own_claim,
        shared_accounts=settings.jwt_shared_accounts,
    )
    tokens = Tokens(secret, Jwks(settings.jwt_jwks) if settings.jwt_jwks else None, rules)
    keyring = Keyring(settings.key_hashes, access)
    return Gate(keyring, tokens, Revoked(access), access, signed_in=settings.read_access == "signed-in")


async def open_gate(services: Services, settings: Settings) -> None:
    """Read keys and revocations. Raises Unguarded: everybody could write, or nobody."""
    gate, connections, why = services.gate, services.connections, settings.exposed

    async def heard(what: str) -> None:
        await connections.end(what)
        services.roll_call.hear(what)

    gate.keyring.ended = connections.end
    gate.revoked.ended = heard
    await gate.keyring.look()
    await gate.revoked.look()
    if why and not (gate.keyring.any or gate.tokens.accepted):
        message = (
            f"{why} needs a way to tell who may write: API_KEYS, a key in the database"
            " (`python -m app keys create`), or JWT_SECRET or JWT_JWKS"
        )
        raise Unguarded(message)
    if settings.served_hosts is None and not settings.allowed_hosts:
        _logger.info("any_host_is_served", hint="ALLOWED_HOSTS lists the names under which the service is asked")


def access_runners(services: Services) -> dict[str, Runner]:
    """Return what keeps up with changed rights, and answers other processes."""
    return {
        "keys": services.gate.keyring.run,
        "revocations": services.gate.revoked.run,
        "roll_call": partial(services.roll_call.answer, partial(listed, services)),
    }
