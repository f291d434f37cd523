"""The settings of who may read and write."""

import re
from typing import Annotated, Literal

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import NoDecode

from app.base_settings import BaseServiceSettings, Seconds
from app.core.access.grant import Scope
from app.web.access.rates import Rates
from app.web.access.secrets import digest_of

_SHA256 = re.compile(r"sha256:[0-9a-f]{64}")
_SHORTEST_KEY = 16
_SHORTEST_SECRET = 32


class AccessSettings(BaseServiceSettings):
    """How somebody shows who it is."""

    api_keys: Annotated[tuple[SecretStr, ...], NoDecode] = Field(
        (), description="keys that may write, comma-separated; `sha256:<hex>` (see `python -m app hash-key`) hides one"
    )
    read_access: Literal["open", "signed-in"] = Field(
        "open", description="`signed-in`: reading needs a key or a token with the scope `streams:read`"
    )
    jwt_secret: SecretStr | None = Field(
        None, description="secret of tokens that are signed with HS256; 32 bytes or more"
    )
    jwt_jwks: str | None = Field(
        None, description="path or `https://` address of the keys (JWKS) of tokens signed with RS256, ES256 or EdDSA"
    )
    jwt_issuer: str | None = Field(None, description="the `iss` that tokens must have")
    jwt_audience: str | None = Field(None, description="the `aud` that tokens must have; without it, none may have one")
    jwt_type: str | None = Field(None, description="the `typ` that tokens must have, as in `at+jwt` (RFC 9068)")
    jwt_default_scope: str = Field("streams:read", description="scopes of a token that has no `scope`, space-separated")
    jwt_own_claim: str | None = Field(
        None, description="claim with the addresses whose streams may be read; without it: `sub`, if it is an address"
    )
    jwt_shared_accounts: bool = Field(
        default=True, description="`false`: tokens of users of a shared account (`M...`, `G...:memo`) are refused"
    )
    token_expiring_seconds: Seconds = Field(60, description="seconds before its end that a token's feed is told")
    allowed_hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="names that the service answers to, comma-separated; on loopback: its own, and those without a dot",
    )
    request_rate: str | None = Field(
        None, description="requests of a principal or address to `/api` in a process, as in `100/minute`; more get 429"
    )

    @field_validator("jwt_secret")
    @classmethod
    def _long_secret(cls, value: SecretStr | None) -> SecretStr | None:
        if value and len(value.get_secret_value().encode()) < _SHORTEST_SECRET:
            message = f"needs at least {_SHORTEST_SECRET} bytes (RFC 7518, 3.2)"
            raise ValueError(message)
        return value

    @field_validator("jwt_default_scope")
    @classmethod
    def _known_scopes(cls, value: str) -> str:
        if unknown := sorted(set(value.split()) - set(Scope)):
            message = f"{', '.join(unknown)}: scopes are {', '.join(Scope)}"
            raise ValueError(message)
        return value

    @field_validator("request_rate")
    @classmethod
    def _known_rate(cls, value: str | None) -> str | None:
        try:
            Rates(value)
        except ValueError:
            message = "must be as in 100/minute or 10/second"
            raise ValueError(message) from None
        return value

    @field_validator("api_keys")
    @classmethod
    def _strong_keys(cls, value: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        for key in value:
            text = key.get_secret_value()
            if text.lower().startswith("sha256:"):
                if not _SHA256.fullmatch(text):
                    message = "a hashed key is `sha256:` and 64 lower-case hex digits"
                    raise ValueError(message)
            elif len(text) < _SHORTEST_KEY:
                message = f"a key needs at least {_SHORTEST_KEY} characters; `python -m app new-key` makes a good one"
                raise ValueError(message)
        return value

    @property
    def key_hashes(self) -> frozenset[str]:
        """The keys that may write, as `digest_of` writes them."""
        texts = (key.get_secret_value() for key in self.api_keys)
        return frozenset(text if text.startswith("sha256:") else digest_of(text) for text in texts)
