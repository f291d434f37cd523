"""The commands that look after API keys."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from app.core.access.grant import Limit, Scope
from app.core.access.ports import AccessStore, Actor
from app.core.addresses import parse_address, parse_contract
from app.core.errors import FieldError, InvalidInput
from app.core.stream import normal_id
from app.web.access.key_office import KeyOffice

_UNITS: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_TIME: Final = re.compile(r"([0-9]{1,6})([smhd])")


@dataclass(frozen=True, slots=True)
class AskedKey:
    """A key as it is asked for on the command line."""

    name: str
    scopes: tuple[str, ...]
    own: tuple[str, ...]
    stream_ids: tuple[str, ...]
    contracts: tuple[str, ...]
    expires: str | None


async def create(store: AccessStore, asked: AskedKey) -> str:
    """Make a key; returns it. Raises InvalidInput, Unavailable."""
    try:
        scopes = frozenset(map(Scope, asked.scopes))
        limit = Limit(
            frozenset(map(parse_address, asked.own)),
            frozenset(map(normal_id, asked.stream_ids)),
            frozenset(map(parse_contract, asked.contracts)),
        )
    except ValueError as error:
        raise InvalidInput(FieldError("key", f"{error}; scopes are {', '.join(Scope)}")) from None
    lifetime = None if asked.expires is None else seconds(asked.expires)
    actor = Actor("command", "keys create")
    secret, _ = await KeyOffice(store).create(asked.name, scopes, None if limit == Limit() else limit, lifetime, actor)
    return secret


async def listed(store: AccessStore) -> str:
    """Return a table of the keys. Raises Unavailable."""
    rows = [("id", "name", "scopes", "reads", "expires", "revoked", "last used")]
    for key in await store.keys():
        limit = (
            "all" if key.limit is None else ", ".join(each for part in key.limit.to_json().values() for each in part)
        )
        times = (_time(key.expires_at), _time(key.revoked_at), _time(key.last_used_at))
        rows.append((key.id, key.name, " ".join(sorted(key.scopes)), limit, *times))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)


async def rotate(store: AccessStore, key_id: str, grace: str) -> str:
    """Replace a key; returns the new one. Raises InvalidInput, NotFound, Unavailable."""
    secret, _ = await KeyOffice(store).rotate(key_id, seconds(grace), Actor("command", "keys rotate"))
    return secret


async def revoke(store: AccessStore, key_id: str) -> str:
    """Revoke a key. Raises NotFound, Unavailable."""
    await KeyOffice(store).revoke(key_id, Actor("command", "keys revoke"))
    return f"{key_id} is revoked"


def seconds(text: str) -> float:
    """Read a time as in `90d`. Raises InvalidInput."""
    found = _TIME.fullmatch(text)
    if found is None:
        raise InvalidInput(FieldError("time", "must be a number and s, m, h or d, as in 90d"))
    return float(int(found[1]) * _UNITS[found[2]])


def _time(at: float | None) -> str:
    return "-" if at is None else datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M")
