"""The blocks that new streams are indexed in."""

from typing import Final

from sqlalchemy import func, select

from app.store.tables import streams
from app.store.transaction import Transaction

SIZE: Final = 1 << 14
"""Streams of a block. Each is a look into the index more for who asks for a party, and a page of it is met the more
often by one batch the fewer there are."""
NEWEST_BLOCK: Final = select(func.max(streams.c.block))
_IN_NEWEST: Final = select(streams.c.id).where(streams.c.block == NEWEST_BLOCK.scalar_subquery()).limit(SIZE).subquery()
FILLED: Final = select(NEWEST_BLOCK.scalar_subquery(), select(func.count()).select_from(_IN_NEWEST).scalar_subquery())


class StreamBlocks:
    """Fills the newest block, then begins the next. Several processes that fill the same one may make it larger."""

    def __init__(self) -> None:
        self._block = 0
        self._room = 0

    async def take(self, transaction: Transaction, count: int) -> int:
        """Return the block of so many new streams."""
        if self._room <= 0:
            await self._look(transaction)
        self._room -= count
        return self._block

    async def _look(self, transaction: Transaction) -> None:
        newest, used = tuple((await transaction.fetch_one(FILLED))._mapping.values())
        self._block, self._room = newest or 0, SIZE - used
        # What was stored before there were blocks is in block 0, whose pages are all over the index.
        if self._block == 0 or self._room <= 0:
            self._block, self._room = self._block + 1, SIZE
