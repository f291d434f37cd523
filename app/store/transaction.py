"""A transaction: rows first, then the events, then the commit."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

from databases.core import Connection
from sqlalchemy import Executable, Table

from app.core.ports import Position
from app.store.compiled import Prepared

Row = Mapping[str, Any]
"""A row to insert: a value for each column by name."""


class Transaction(ABC):
    """A transaction that is open.

    A statement costs more on its way than in the database: a hop between threads, or a round trip. What nobody needs an
    answer to waits for the next one that somebody does; if it fails, that one does.
    """

    def __init__(self, connection: Connection) -> None:
        """Work on a connection that is the transaction's alone until its end."""
        self.connection = connection

    async def fetch_all(self, query: Executable | Prepared) -> list[Any]:
        """Return all rows."""
        await self._catch_up()
        return list(await self.connection.fetch_all(query))  # type: ignore[arg-type]

    async def fetch_one(self, query: Executable | Prepared) -> Any:
        """Return the first row, or None."""
        await self._catch_up()
        return await self.connection.fetch_one(query)  # type: ignore[arg-type]

    async def execute(self, query: Executable | Prepared) -> None:
        """Run a statement."""
        await self._catch_up()
        await self.connection.execute(query)  # type: ignore[arg-type]

    @abstractmethod
    async def insert(self, table: Table, rows: Sequence[Row]) -> None:
        """Insert rows, at least one, that all have the same columns. It may wait for the next statement."""

    @abstractmethod
    async def append(self, rows: Sequence[Row]) -> tuple[Position, Sequence[int]]:
        """Append rows to the log; return where it stood before, and their ids, ascending, in the order of `rows`.

        From here to the end no other transaction appends. Raises Unfit when the ids are not above the log's head: a
        table that was restored without its sequence.
        """

    @abstractmethod
    async def commit(self) -> None:
        """Commit it."""

    @abstractmethod
    async def _catch_up(self) -> None:
        """Do what waits, unless the next statement does it."""
