"""The blocks that new streams are indexed in."""

from typing import Final

from sqlalchemy import func, select

from app.store.tables import streams
from app.store.transaction import Transaction

NEWEST_BLOCK: Final = select(func.max(streams.c.block))
_SIZE: Final = 1 << 14
"""Streams of a block. Each is a look into the index more for who asks for a party, and a page of it is met the more
often by one batch the fewer there are."""
_FIRST: Final = 1
"""What was stored before there were blocks is in block 0, whose pages are all over the index."""


class StreamBlocks:
    """Fills one block after the other. Several processes may fill the same one, and one that restarts fills it up."""

    def __init__(self) -> None:
        self._block = _FIRST - 1
        self._room = 0

    async def take(self, transaction: Transaction, count: int) -> int:
        """Return the block of so many new streams."""
        if self._room <= 0:
            newest = await transaction.fetch_one(NEWEST_BLOCK)
            self._block = max(newest[0] or 0, self._block + 1)
            self._room = _SIZE
        self._room -= count
        return self._block
