"""The record of who did what."""

from typing import Any

import orjson

from app.core.access.ports import Actor
from app.core.clock import timestamp, utc_now
from app.store.tables import audit
from app.store.transaction import Transaction


async def record(transaction: Transaction, actor: Actor) -> None:
    """Note who did what, in the transaction that does it."""
    await transaction.insert(audit, [audit_row(actor)])


def audit_row(actor: Actor, first: str | None = None, last: str | None = None, count: int = 0) -> dict[str, Any]:
    """Return the row of a deed. `first` and `last` are the ids of the `count` events that it made."""
    return {
        "at": timestamp(utc_now()),
        "principal": actor.principal,
        "action": actor.action,
        "request_id": actor.request_id,
        "address": actor.address,
        "first": first,
        "last": last,
        "count": count,
        "detail": orjson.dumps(actor.detail or {}).decode(),
    }
