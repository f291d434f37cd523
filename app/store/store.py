"""The store: opens units of work, and reads streams."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from databases import Database
from databases.core import Connection
from sqlalchemy import func, select

from app.core.chain_port import ParkedItem, StoredOutage, StoredPosition
from app.core.errors import Unavailable
from app.core.ports import (
    StreamPage,
    StreamQuery,
)
from app.core.stream import Stream
from app.store.chain_tables import parked_item, stored_position
from app.store.dialect import Dialect, Unfit, behind, borrowed, storable, translated
from app.store.queries import Queries
from app.store.readers import readers_of
from app.store.rows import STREAM_COLUMNS, stream_of
from app.store.stream_blocks import NEWEST_BLOCK, StreamBlocks
from app.store.stream_pages import asks_for_parties, page_of
from app.store.tables import (
    chain_outages,
    chain_parked,
    chain_positions,
    streams,
)
from app.store.transaction import Transaction
from app.store.unit_of_work import SqlUnitOfWork

Result = TypeVar("Result")


class SqlStore:
    """Opens units of work, and reads streams."""

    def __init__(self, database: Database, dialect: Dialect) -> None:
        """`database` is connected by whoever owns it."""
        self._database = database
        self._dialect = dialect
        self._readers = readers_of(database, dialect)
        self._queries = Queries(dialect)
        self._blocks = StreamBlocks()
        self._writers = asyncio.Semaphore(dialect.concurrent_writers)
        self.told: Callable[[str | None], None] = lambda _: None
        """Told after each transaction what somebody must mend before writes succeed, or None."""

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[SqlUnitOfWork]:
        """Open a unit of work; leaving it without `commit` undoes it."""
        async with self.transaction() as transaction:
            yield SqlUnitOfWork(transaction, self._dialect, self._queries, self._blocks)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        """Open a transaction, in the one queue in which all writers wait; run it in a task that is not cancelled."""
        try:
            with translated():
                async with (
                    self._writers,
                    borrowed(self._database) as connection,
                    self._dialect.transaction(connection) as transaction,
                ):
                    yield transaction
        except Unavailable as error:
            if isinstance(error.__cause__, Unfit):
                self.told(str(error))
            raise
        self.told(None)

    async def read(self, read: Callable[[Connection], Awaitable[Result]]) -> Result:
        """Return what `read` makes of a connection, in the one queue of readers. Raises Unavailable."""
        return await self._readers.run(read)

    async def examine(self, head: int) -> None:
        """Tell at once, and not at the first write, when new events would get numbers that the log has used."""
        numbered = await self._readers.run(self._dialect.numbered)
        if numbered is not None and numbered < head:
            self.told(str(behind(head)))

    async def settle(self) -> None:
        """Do what a writer would otherwise have to do after many small changes."""
        await self._readers.run(self._dialect.settle)

    async def get(self, stream_id: str) -> Stream | None:
        """Return one stream."""
        if not storable(stream_id):
            return None
        query = select(*STREAM_COLUMNS).where(streams.c.id == stream_id)
        row = await self._readers.run(lambda connection: connection.fetch_one(query))
        return None if row is None else stream_of(row)

    async def page(self, query: StreamQuery) -> StreamPage:
        """Return streams, newest first."""

        async def rows_of(connection: Connection) -> list[Any]:
            newest = await connection.fetch_val(NEWEST_BLOCK) if asks_for_parties(query) else None
            return list(await connection.fetch_all(page_of(query, self._dialect, newest or 0)))

        rows = await self._readers.run(rows_of)
        found = [stream_of(row) for row in rows[: query.limit]]
        more = len(rows) > query.limit
        return StreamPage(found, (found[-1].created_at, found[-1].id) if more else None)

    async def parked(self, after: int, limit: int) -> list[ParkedItem]:
        """Return the chain's items that wait, by their ids."""
        query = select(chain_parked).where(chain_parked.c.id > after).order_by(chain_parked.c.id).limit(limit)
        rows = await self._readers.run(lambda connection: connection.fetch_all(query))
        return [parked_item(row) for row in rows]

    async def parked_count(self) -> int:
        """Return how many items wait."""
        query = select(func.count()).select_from(chain_parked)
        return int(await self._readers.run(lambda connection: connection.fetch_val(query)))

    async def chain_position(self, contract_set: str) -> StoredPosition:
        """Return how far these contracts were read."""
        query = select(chain_positions).where(chain_positions.c.contract_set == contract_set)
        return stored_position(await self._readers.run(lambda connection: connection.fetch_one(query)))

    async def chain_outages(self) -> list[StoredOutage]:
        """Return what is out of order for every process."""
        query = select(chain_outages).order_by(chain_outages.c.source)
        rows = await self._readers.run(lambda connection: connection.fetch_all(query))
        return [StoredOutage(row["source"], row["reason"], row["since"]) for row in rows]
