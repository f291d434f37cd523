"""The right to do something that one process does at a time: a row, by the database's own clock."""

import asyncio
from typing import Final

from sqlalchemy import text

from app.store.store import SqlStore

_ACQUIRE: Final = """
INSERT INTO chain_leases AS held (name, owner, until)
VALUES (:name, :owner, EXTRACT(EPOCH FROM clock_timestamp()) + :seconds)
ON CONFLICT (name) DO UPDATE SET owner = :owner, until = EXTRACT(EPOCH FROM clock_timestamp()) + :seconds
WHERE held.owner IS NULL OR held.owner = :owner OR held.until < EXTRACT(EPOCH FROM clock_timestamp())
RETURNING owner
"""
_RENEW: Final = """
UPDATE chain_leases SET until = EXTRACT(EPOCH FROM clock_timestamp()) + :seconds
WHERE name = :name AND owner = :owner RETURNING owner
"""
_RELEASE: Final = "UPDATE chain_leases SET owner = NULL WHERE name = :name AND owner = :owner RETURNING owner"


class SqlLease:
    """A lease on PostgreSQL. No session state is needed, so it works through PgBouncer.

    Whoever asks may be cancelled meanwhile: what was begun goes on in a task of its own, so that a connection is given
    back clean.
    """

    def __init__(self, store: SqlStore, name: str) -> None:
        """`name` is what is done by one process at a time."""
        self._store = store
        self._name = name
        self._running: set[asyncio.Task[object]] = set()

    async def acquire(self, owner: str, seconds: float) -> bool:
        """Take it, if it is free, over, or the owner's already. Raises Unavailable."""
        return await self._ask(_ACQUIRE, owner=owner, seconds=seconds)

    async def renew(self, owner: str, seconds: float) -> bool:
        """Keep it for so long from now; False if it is not the owner's any more. Raises Unavailable."""
        return await self._ask(_RENEW, owner=owner, seconds=seconds)

    async def release(self, owner: str) -> None:
        """Give it back, if it is still the owner's. Raises Unavailable."""
        await self._ask(_RELEASE, owner=owner)

    async def _ask(self, statement: str, **values: str | float) -> bool:
        query = text(statement).bindparams(name=self._name, **values)

        async def ask() -> bool:
            async with self._store.transaction() as transaction:
                row = await transaction.fetch_one(query)
                await transaction.commit()
                return row is not None

        task = asyncio.create_task(ask())
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return await asyncio.shield(task)
