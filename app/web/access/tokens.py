"""JSON Web Tokens (RFC 7519, 9068), read into principals."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import jwt

from app.core.access.grant import Limit, Scope
from app.core.access.principal import Principal
from app.core.addresses import is_address
from app.core.errors import Unauthorized
from app.web.access.jwks import Jwks
from app.web.access.stellar_subject import SharedAccount, owner_of

_LEEWAY_SECONDS: Final = 10
_DETAILS: Final = "fluxora-streams"
"""The `type` of RFC 9396 by which a token limits what may be read."""

_MOST_CHARACTERS: Final = 16_384
_SIGNED: Final = ("RS256", "ES256", "EdDSA")


@dataclass(frozen=True, slots=True)
class TokenRules:
    """What a token must be. `default_scopes` are of one without `scope`; `type` None: any."""

    issuer: str | None = None
    audience: str | None = None
    type: str | None = None
    default_scopes: frozenset[Scope] = frozenset({Scope.STREAMS_READ})
    own_claim: str | None = None
    shared_accounts: bool = True


class Tokens:
    """Checks tokens that others signed: with one secret, or with keys that are published."""

    def __init__(self, secret: str | None, jwks: Jwks | None, rules: TokenRules) -> None:
        """`secret` is for HS256 alone, `jwks` for RS256, ES256 and EdDSA: a public key never checks an HMAC."""
        self._secret = secret
        self._jwks = jwks
        self._rules = rules

    @property
    def accepted(self) -> bool:
        """Whether any token can be good."""
        return self._secret is not None or self._jwks is not None

    async def principal(self, token: str) -> Principal:
        """Return whose token it is. Raises Unauthorized."""
        try:
            return self._principal(await self._claims(token))
        except jwt.ExpiredSignatureError as error:
            message = "the token is expired"
            raise Unauthorized(message) from error
        except jwt.PyJWTError as error:
            message = f"the token is not valid: {_reason(error)}"
            raise Unauthorized(message) from error

    async def _claims(self, token: str) -> dict[str, Any]:
        if len(token) > _MOST_CHARACTERS:
            message = "it is too long"
            raise jwt.InvalidTokenError(message)
        header = jwt.get_unverified_header(token)
        key, algorithm = await self._key(header)
        rules = self._rules
        if rules.type is not None and str(header.get("typ", "")).lower().removeprefix("application/") != rules.type:
            message = "its type is another"
            raise jwt.InvalidTokenError(message)
        claims: dict[str, Any] = jwt.decode(
            token,
            key,
            algorithms=[algorithm],
            audience=rules.audience,
            issuer=rules.issuer,
            leeway=_LEEWAY_SECONDS,
            options={"require": ["exp", "sub"], "verify_aud": True, "verify_iat": False},
        )
        return claims

    async def _key(self, header: Mapping[str, Any]) -> tuple[Any, str]:
        algorithm = header.get("alg")
        if algorithm == "HS256" and self._secret is not None:
            return self._secret, algorithm
        if algorithm in _SIGNED and self._jwks is not None:
            key_id = header.get("kid")
            key = await self._jwks.key(key_id if isinstance(key_id, str) else None, algorithm)
            if key is not None:
                return key.key, algorithm
            message = "nobody published a key for it"
            raise jwt.InvalidKeyError(message)
        message = "its algorithm is not accepted"
        raise jwt.InvalidAlgorithmError(message)

    def _principal(self, claims: Mapping[str, Any]) -> Principal:
        subject, identity = str(claims["sub"]), claims.get("jti")
        if not subject.isprintable() or not str(identity).isprintable():
            message = "its subject or id has characters that no log should hold"
            raise jwt.InvalidTokenError(message)
        scope = claims.get("scope")
        scopes = self._rules.default_scopes if scope is None else _scopes(scope)
        credential = f"jti:{identity}" if isinstance(identity, str) else None
        return Principal(f"jwt:{subject}", scopes, self._limit(claims, subject), float(claims["exp"]), credential)

    def _limit(self, claims: Mapping[str, Any], subject: str) -> Limit | None:
        details = claims.get("authorization_details")
        if isinstance(details, list):
            ours = [each for each in details if isinstance(each, dict) and each.get("type") == _DETAILS]
            if ours:
                return _limit_of(ours)
        if self._rules.own_claim is not None:
            return Limit(own=frozenset(filter(is_address, _texts(claims.get(self._rules.own_claim)))))
        try:
            owner = owner_of(subject, shared=self._rules.shared_accounts)
        except SharedAccount as error:
            raise jwt.InvalidTokenError(str(error)) from error
        return None if owner is None else Limit(own=frozenset({owner}))


def now_or_later(seconds: float | None) -> bool:
    """Tell whether a time of Unix seconds is still to come; None never ends."""
    return seconds is None or seconds > time.time()


def _scopes(given: Any) -> frozenset[Scope]:
    """Return the scopes that mean something here (RFC 8693, 4.2: separated by spaces)."""
    words = given.split() if isinstance(given, str) else _texts(given)
    return frozenset(scope for scope in Scope if scope in words)


def _limit_of(details: Sequence[Mapping[str, Any]]) -> Limit:
    """Return the union of what the elements name."""

    def named(*names: str) -> frozenset[str]:
        return frozenset(text for each in details for name in names for text in _texts(each.get(name)))

    return Limit(own=named("own", "addresses"), stream_ids=named("streamIds"), contracts=named("contracts"))


def _texts(given: Any) -> list[str]:
    if isinstance(given, str):
        return [given]
    return [each for each in given if isinstance(each, str)] if isinstance(given, list) else []


def _reason(error: jwt.PyJWTError) -> str:
    """Return the library's words; they name claims, never what is in them."""
    return str(error)[:200].rstrip(".").lower() or type(error).__name__
