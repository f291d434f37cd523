"""Secrets that the service gives out: only their hashes are kept."""

import hashlib
import secrets
from typing import Final

_KEY_MARK: Final = "fxk"
_ID_BYTES: Final = 6
_SECRET_BYTES: Final = 32


def new_secret() -> str:
    """Return a random secret of 256 bits."""
    return secrets.token_urlsafe(_SECRET_BYTES)


def new_key() -> tuple[str, str]:
    """Return a new API key, `fxk_<id>_<secret>`, and its id, by which it is found."""
    key_id = secrets.token_hex(_ID_BYTES)
    return f"{_KEY_MARK}_{key_id}_{new_secret()}", key_id


def key_id_of(key: str) -> str | None:
    """Return the id of a key that this service may have given out; None for any other text."""
    mark, _, rest = key.partition("_")
    key_id, _, secret = rest.partition("_")
    return key_id if mark == _KEY_MARK and key_id and secret else None


def digest_of(secret: str) -> str:
    """Return a secret's hash. Secrets are random, so one round of SHA-256 is enough."""
    return f"sha256:{hashlib.sha256(secret.encode()).hexdigest()}"
