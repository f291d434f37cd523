"""A web page's origin: scheme, host and port, as browsers send it (RFC 6454)."""

from typing import Final
from urllib.parse import urlsplit

ANY: Final = "*"
PORTS: Final = {"http": 80, "https": 443, "ws": 80, "wss": 443}


def normal_origin(text: str) -> str:
    """Return an origin as browsers send it, or raise ValueError with the reason; a slash at its end is forgiven."""
    if text == ANY:
        return text
    message = f"{text!r} is no origin: it needs a scheme and a host, as in https://example.com"
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise ValueError(message) from None
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.path not in ("", "/"):
        raise ValueError(message)
    if parts.query or parts.fragment or "@" in parts.netloc:
        raise ValueError(message)
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{parts.scheme}://{host}" + ("" if port in (None, PORTS[parts.scheme]) else f":{port}")
