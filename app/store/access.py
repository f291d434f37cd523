"""Keys, tickets, sessions, revocations and the audit's record, in the database."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import orjson
from sqlalchemy import delete, insert, select, update

from app.core.access.grant import Limit, Scope
from app.core.access.ports import Actor, ApiKey, AuditRecord, Revocation
from app.store.audit import record
from app.store.store import SqlStore
from app.store.tables import access_revocations, access_secrets, api_keys, audit
from app.store.transaction import Transaction

Result = TypeVar("Result")


class SqlAccess:
    """The core's `AccessStore`."""

    def __init__(self, store: SqlStore) -> None:
        """Work in the store's queues."""
        self._store = store
        self._running: set[asyncio.Task[Any]] = set()

    async def keys(self) -> list[ApiKey]:
        """Return all keys, oldest first."""
        query = select(api_keys).order_by(api_keys.c.created_at, api_keys.c.id)
        return [_key(row) for row in await self._store.read(lambda connection: connection.fetch_all(query))]

    async def add_key(self, key: ApiKey, actor: Actor) -> None:
        """Store a new key."""
        row = {
            "id": key.id,
            "name": key.name,
            "hash": key.hash,
            "scopes": _text(sorted(key.scopes)),
            "reach": None if key.limit is None else _text(key.limit.to_json()),
            "created_at": key.created_at,
            "expires_at": key.expires_at,
        }

        async def work(transaction: Transaction) -> None:
            await transaction.execute(insert(api_keys).values(row))
            await record(transaction, actor)

        await self._write(work)

    async def change_key(
        self, key_id: str, actor: Actor, *, expires_at: float | None, revoked_at: float | None
    ) -> bool:
        """Let a key end, then or now; tells whether there is one."""
        given = {"expires_at": expires_at, "revoked_at": revoked_at}
        values = {name: value for name, value in given.items() if value is not None}

        async def work(transaction: Transaction) -> bool:
            query = update(api_keys).where(api_keys.c.id == key_id).values(values).returning(api_keys.c.id)
            if await transaction.fetch_one(query) is None:
                return False
            await record(transaction, actor)
            return True

        return await self._write(work)

    async def used(self, seen: dict[str, float]) -> None:
        """Note when keys were used last."""

        async def work(transaction: Transaction) -> None:
            for key_id, at in sorted(seen.items()):
                await transaction.execute(update(api_keys).where(api_keys.c.id == key_id).values(last_used_at=at))

        await self._write(work)

    async def put(self, kind: str, digest: str, document: dict[str, Any], until: float) -> None:
        """Store a secret's hash and what it stands for; what is over goes meanwhile."""
        row = {"kind": kind, "digest": digest, "document": _text(document), "until": until}

        async def work(transaction: Transaction) -> None:
            await transaction.execute(delete(access_secrets).where(access_secrets.c.until < time.time()))
            await transaction.execute(insert(access_secrets).values(row))

        await self._write(work)

    async def take(self, kind: str, digest: str, now: float) -> dict[str, Any] | None:
        """Spend it: of several that try at once, in any process, one gets the row that it deletes."""

        async def work(transaction: Transaction) -> dict[str, Any] | None:
            query = delete(access_secrets).where(*_secret(kind, digest))
            row = await transaction.fetch_one(query.returning(access_secrets.c.document, access_secrets.c.until))
            return None if row is None or row["until"] <= now else orjson.loads(row["document"])

        return await self._write(work)

    async def find(self, kind: str, digest: str, now: float) -> dict[str, Any] | None:
        """Return what it stands for."""
        query = select(access_secrets).where(*_secret(kind, digest), access_secrets.c.until > now)
        row = await self._store.read(lambda connection: connection.fetch_one(query))
        return None if row is None else orjson.loads(row["document"])

    async def found(self, kind: str) -> list[dict[str, Any]]:
        """Return what all of a kind stand for."""
        query = select(access_secrets.c.document).where(access_secrets.c.kind == kind)
        rows = await self._store.read(lambda connection: connection.fetch_all(query))
        return [orjson.loads(row["document"]) for row in rows]

    async def drop(self, kind: str, digest: str) -> None:
        """Forget it."""
        await self._write(lambda connection: connection.execute(delete(access_secrets).where(*_secret(kind, digest))))

    async def revoke(self, what: str, until: float, actor: Actor) -> None:
        """Revoke something in every process."""

        async def work(transaction: Transaction) -> None:
            await _announce(transaction, what, until)
            await record(transaction, actor)

        await self._write(work)

    async def announce(self, what: str, until: float) -> None:
        """Say something to every process."""
        await self._write(lambda transaction: _announce(transaction, what, until))

    async def revocations(self, after: int) -> list[Revocation]:
        """Return those with ids above `after`."""
        table = access_revocations
        query = select(table).where(table.c.id > after).order_by(table.c.id)
        rows = await self._store.read(lambda connection: connection.fetch_all(query))
        return [Revocation(row["id"], row["what"], row["until"]) for row in rows]

    async def note(self, actor: Actor) -> None:
        """Note what was done outside the database."""
        await self._write(lambda transaction: record(transaction, actor))

    async def audit(self, after: int, limit: int) -> list[AuditRecord]:
        """Return records with ids above `after`, by their ids."""
        query = select(audit).where(audit.c.id > after).order_by(audit.c.id).limit(limit)
        rows = await self._store.read(lambda connection: connection.fetch_all(query))
        return [AuditRecord(**{**row._mapping, "detail": orjson.loads(row["detail"])}) for row in rows]

    async def _write(self, work: Callable[[Transaction], Awaitable[Result]]) -> Result:
        """Run a transaction in a task of its own: a caller that leaves must not leave it open."""

        async def transaction() -> Result:
            async with self._store.transaction() as opened:
                result = await work(opened)
                await opened.commit()
                return result

        task = asyncio.create_task(transaction())
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return await asyncio.shield(task)


async def _announce(transaction: Transaction, what: str, until: float) -> None:
    await transaction.execute(delete(access_revocations).where(access_revocations.c.until < time.time()))
    await transaction.execute(insert(access_revocations).values(what=what, until=until))


def _secret(kind: str, digest: str) -> tuple[Any, Any]:
    return access_secrets.c.kind == kind, access_secrets.c.digest == digest


def _key(row: Any) -> ApiKey:
    values = dict(row._mapping)
    reach = values.pop("reach")
    values["scopes"] = frozenset(map(Scope, orjson.loads(values["scopes"])))
    return ApiKey(**values, limit=None if reach is None else Limit.from_json(orjson.loads(reach)))


def _text(value: Any) -> str:
    return orjson.dumps(value).decode()
