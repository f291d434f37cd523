"""The parameters of a PostgreSQL URL that are supported, as libpq names them; any other is refused."""

import ssl
from typing import Any, Final

from sqlalchemy import URL

_SUPPORTED: Final = ("host", "port", "sslmode", "sslrootcert", "application_name", "connect_timeout")
_MODES: Final = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
_APPLICATION: Final = "fluxora-streams"
_HIGHEST_PORT: Final = 65_535
_LONGEST_TIMEOUT: Final = 3600


def connect_arguments(url: URL, *, timeout: float) -> dict[str, Any]:
    """Return what asyncpg is told of a URL. `timeout`: seconds, unless it says `connect_timeout`. Raises ValueError.

    Nothing goes into the startup packet but a name: poolers refuse connections that ask for more.
    """
    given = _parameters(url)
    if url.host and "host" in given:
        message = "names the host twice: before the slash and as a parameter"
        raise ValueError(message)
    return {
        "host": given.get("host", url.host),
        "port": _number(given, "port", _HIGHEST_PORT) or url.port,
        "user": url.username,
        "password": url.password,
        "database": url.database,
        "timeout": _number(given, "connect_timeout", _LONGEST_TIMEOUT) or timeout,
        "server_settings": {"application_name": given.get("application_name", _APPLICATION)},
        **tls_options(url),
    }


def tls_options(url: URL) -> dict[str, Any]:
    """Return what asyncpg is told of the parameters `sslmode` and `sslrootcert`. Raises ValueError."""
    given = _parameters(url)
    mode, root = given.get("sslmode", "prefer"), given.get("sslrootcert")
    if mode not in _MODES:
        message = f"has an sslmode that is none of {', '.join(_MODES)}"
        raise ValueError(message)
    if mode == "require" and root:
        mode = "verify-ca"  # as libpq does: who names a certificate wants it to count
    if not mode.startswith("verify"):
        return {"ssl": mode}
    try:
        context = ssl.create_default_context(cafile=root)
    except OSError as error:
        message = f"names an sslrootcert that cannot be read: {error.strerror}"
        raise ValueError(message) from None
    context.check_hostname = mode == "verify-full"
    return {"ssl": context}


def _parameters(url: URL) -> dict[str, str]:
    given: dict[str, str] = {}
    for name, value in url.query.items():
        if name not in _SUPPORTED:
            hint = f"; {name.lower()} is written in small letters" if name.lower() in _SUPPORTED else ""
            message = f"has the parameter {name}, which is not supported ({', '.join(_SUPPORTED)} are){hint}"
            raise ValueError(message)
        if not isinstance(value, str) or not value:
            message = f"must give the parameter {name} one value"
            raise ValueError(message)
        given[name] = value
    return given


def _number(given: dict[str, str], name: str, largest: int) -> int | None:
    text = given.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and 0 < int(text) <= largest):
        message = f"must give {name} as a number from 1 to {largest}"
        raise ValueError(message)
    return int(text)
