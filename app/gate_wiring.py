"""Wires what tells who may read and write."""

from app.core.access.grant import Scope
from app.settings import Settings
from app.store.access import SqlAccess
from app.store.store import SqlStore
from app.web.access.gate import Gate
from app.web.access.jwks import Jwks
from app.web.access.keyring import Keyring
from app.web.access.revoked import Revoked
from app.web.access.tokens import TokenRules, Tokens


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
