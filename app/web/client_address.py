"""Where a request comes from, seen through the proxies in front."""

import re
from collections.abc import Mapping
from functools import lru_cache
from ipaddress import IPv6Address, ip_address
from typing import Any, Final

import structlog

from app.web.fields import Fields

FORWARDING: Final = ("X-Forwarded-For", "Forwarded")
"""The headers that proxies write: https://developer.mozilla.org/docs/Web/HTTP/Headers/X-Forwarded-For and RFC 7239."""

_UNKNOWN: Final = "unknown"
_ELEMENT: Final = re.compile(r'(?:[^,"]|"(?:[^"\\]|\\.)*")+')
_FOR: Final = re.compile(r'(?:^|;)\s*for\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s;"]+))', re.IGNORECASE)
_BRACKETS: Final = re.compile(r"\[([^\]]*)\](?::[0-9]*)?")
_WITH_PORT: Final = re.compile(r"([^:]*):[0-9]*")
_SHARED_BITS: Final = 64
_REMEMBERED: Final = 4096
"""Addresses; parsing one takes 5 us, and a connect asks four times."""

_logger = structlog.get_logger(__name__)


class ClientAddresses:
    """Tells clients' addresses: the one that the outermost trusted proxy saw."""

    def __init__(self, *, hops: int, header: str = FORWARDING[0]) -> None:
        """`hops`: how many proxies in front add to `header`; only that one is read, a proxy lets others through."""
        self._hops = hops
        self._header = header
        self._warned = False

    def of(self, headers: Fields, peer: str | None) -> str:
        """Return the address of whoever sent these headers; `peer` is whom the socket is connected to."""
        found = peer or "local"
        if self._hops:
            hops = _hops_of(headers.getlist(self._header), forwarded=self._header.lower() == "forwarded")
            if len(hops) >= self._hops:
                found = _without_port(hops[-self._hops])
        elif not self._warned and (name := next((name for name in FORWARDING if name in headers), None)):
            self._warned = True
            _logger.warning("proxy_not_trusted", header=name, peer=peer, hint="set TRUSTED_PROXY_HOPS if this is yours")
        return _normalised(found)


def peer_of(scope: Mapping[str, Any]) -> str | None:
    """Return the address at the other end of an ASGI connection's socket; None for a Unix socket."""
    client = scope.get("client")
    return client[0] if client else None


@lru_cache(_REMEMBERED)
def counted_as(address: str) -> str:
    """Return what an address counts as under a cap: one IPv6 subscriber has a whole /64 to choose from (RFC 6177)."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    if not isinstance(parsed, IPv6Address):
        return address
    shift = parsed.max_prefixlen - _SHARED_BITS
    return f"{IPv6Address(int(parsed) >> shift << shift)}/{_SHARED_BITS}"


def _hops_of(lines: list[str], *, forwarded: bool) -> list[str]:
    """Return the hops, outermost first; several lines of a list header are one list (RFC 9110, 5.3)."""
    joined = ",".join(lines)
    if not forwarded:
        return [hop.strip() for hop in joined.split(",")] if joined else []
    return [_for(element) for element in _ELEMENT.findall(joined)]


def _for(element: str) -> str:
    match = _FOR.search(element)
    if match is None:
        return _UNKNOWN
    quoted = match[1]
    return match[2] if quoted is None else re.sub(r"\\(.)", r"\1", quoted)


def _without_port(hop: str) -> str:
    match = _BRACKETS.fullmatch(hop) or _WITH_PORT.fullmatch(hop)
    return match[1] if match else hop


@lru_cache(_REMEMBERED)
def _normalised(text: str) -> str:
    """Return one spelling for an address; an IPv4 one that came over IPv6 is an IPv4 one."""
    try:
        parsed = ip_address(text.partition("%")[0])
    except ValueError:
        return text or _UNKNOWN
    mapped = parsed.ipv4_mapped if isinstance(parsed, IPv6Address) else None
    return str(mapped or parsed)
