"""Units of work on the database."""

from collections.abc import Collection, Sequence
from typing import Final, TypeVar

from sqlalchemy import Table, update

from app.core.access.ports import Actor
from app.core.clock import timestamp, utc_now
from app.core.event import Draft, Event
from app.core.ports import (
    Appended,
    ChainKey,
    IdempotencyKey,
    Replay,
)
from app.core.stream import Stream
from app.store.audit import audit_row
from app.store.chain_tables import SqlChainTables
from app.store.dialect import Dialect
from app.store.event_log import COLUMNS, event_of
from app.store.queries import Queries
from app.store.rows import document, event_row, key_rows, made_id, stream_of, stream_row
from app.store.stream_blocks import StreamBlocks
from app.store.tables import audit, chain_events, idempotency_keys, streams
from app.store.transaction import Row, Transaction

Result = TypeVar("Result")

_MUTABLE: Final = ("streamed_amount", "remaining_amount", "end_time", "status", "version", "updated_at")
_MUTABLE_BY_CHAIN: Final = (
    *_MUTABLE,
    "sender",
    "recipient",
    "deposit_amount",
    "rate_per_second",
    "start_time",
    "contract_id",
    "chain_stream_id",
    "chain",
)


class SqlUnitOfWork:
    """One transaction. Many rows are one statement, however many."""

    def __init__(self, transaction: Transaction, dialect: Dialect, queries: Queries, blocks: StreamBlocks) -> None:
        """Work on a transaction that is open."""
        self._transaction = transaction
        self._dialect = dialect
        self._queries = queries
        self._blocks = blocks
        self._begun: set[str] = set()

    @property
    def chain(self) -> SqlChainTables:
        """What is kept of the contracts."""
        return SqlChainTables(self._transaction, self._dialect)

    async def lock(self, ids: Collection[str]) -> dict[str, Stream]:
        """Return the streams that exist, locked in the order of their ids."""
        if not ids:
            return {}
        rows = await self._transaction.fetch_all(self._queries.lock(ids))
        return {row["id"]: stream_of(row) for row in rows}

    async def insert(self, new: Sequence[Stream]) -> None:
        """Store new streams, in the order of their ids: writers of the same ones don't wait in a circle."""
        if not new:
            return
        block = await self._blocks.take(self._transaction, len(new))
        rows = [{**stream_row(stream), "block": block} for stream in sorted(new, key=lambda stream: stream.id)]
        self._begun.update(stream.id for stream in new)
        await self._insert(streams, rows)

    async def update(self, changed: Sequence[Stream]) -> None:
        """Store changed streams, in the order in which they were locked."""
        await self._update([stream for stream in changed if stream.chain is None], _MUTABLE)
        await self._update([stream for stream in changed if stream.chain is not None], _MUTABLE_BY_CHAIN)

    async def _update(self, changed: Sequence[Stream], mutable: tuple[str, ...]) -> None:
        if not changed:
            return
        names = ("id", *mutable)
        rows = [stream_row(stream, names) for stream in changed]
        given = self._dialect.rows(document(rows), [streams.c[name] for name in names])
        values = {name: given.c[name] for name in mutable}
        await self._transaction.execute(update(streams).where(streams.c.id == given.c.id).values(values))

    async def seen(self, keys: Collection[ChainKey]) -> set[ChainKey]:
        """Return the chain events among these that were taken before."""
        rows = await self._transaction.fetch_all(self._queries.seen(keys))
        # By position, as a repeated event has little else to do: a column by its name costs a microsecond.
        return {tuple(row._mapping) for row in rows}

    async def mark_seen(self, keys: Sequence[ChainKey]) -> None:
        """Remember chain events for good, in their order, for the same reason. A stream tells of what began it."""
        untold = sorted(key for key in keys if made_id(key) not in self._begun)
        await self._insert(chain_events, key_rows(untold))

    async def recall(self, keys: Collection[str]) -> dict[str, Replay]:
        """Return the answers that were given under these idempotency keys."""
        rows = await self._transaction.fetch_all(self._queries.recall(keys))
        return {row["key"]: Replay(row["fingerprint"], row["body"].encode()) for row in rows}

    async def remember(self, key: IdempotencyKey, body: bytes) -> None:
        """Keep the answer."""
        row = {"key": key.key, "fingerprint": key.fingerprint, "body": body.decode()}
        await self._insert(idempotency_keys, [{**row, "created_at": timestamp(utc_now())}])

    async def append(self, drafts: Sequence[Draft]) -> Appended:
        """Append to the log, under its lock."""
        rows = [event_row(draft) for draft in drafts]
        position, ids = await self._transaction.append(rows)
        events = [
            event_of(position.epoch, seq, *(row[column.name] for column in COLUMNS[1:]))
            for seq, row in zip(ids, rows, strict=True)
        ]
        return Appended(position.at(position.head), events)

    async def record(self, deeds: Sequence[tuple[Actor, Sequence[Event]]]) -> None:
        """Note who asked for what was appended."""
        rows = [audit_row(actor, events[0].id, events[-1].id, len(events)) for actor, events in deeds]
        await self._insert(audit, rows)

    async def commit(self) -> None:
        """Commit."""
        await self._transaction.commit()

    async def _insert(self, table: Table, rows: Sequence[Row]) -> None:
        if rows:
            await self._transaction.insert(table, rows)
