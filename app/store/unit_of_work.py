"""The store: units of work on the database, and reading single streams."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import fields
from typing import Any, Final, TypeVar

import orjson
from databases import Database
from databases.core import Connection
from sqlalchemy import ColumnElement, Table, and_, or_, select, update

from app.core.chain_port import ParkedItem
from app.core.clock import timestamp, utc_now
from app.core.contract.record import stream_of as chain_stream_of
from app.core.contract.record import stream_record
from app.core.errors import Unavailable
from app.core.event import Draft
from app.core.ports import (
    Appended,
    ChainKey,
    IdempotencyKey,
    Position,
    Replay,
    StreamPage,
    StreamQuery,
    sorted_unique,
)
from app.core.stream import Status, Stream
from app.store.chain_tables import SqlChainTables, parked_item
from app.store.dialect import Dialect, Row, Transaction, Unfit, borrowed, storable, translated
from app.store.event_log import COLUMNS, event_of, position_of
from app.store.readers import readers_of
from app.store.tables import chain_events, chain_parked, idempotency_keys, stream_events, streams

Result = TypeVar("Result")

_STREAM_NAMES: Final = tuple(field.name for field in fields(Stream))
_STREAM_COLUMNS: Final = [streams.c[name] for name in _STREAM_NAMES]
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

    def __init__(self, connection: Connection, dialect: Dialect, transaction: Transaction) -> None:
        """Work on a transaction that is open."""
        self._connection = connection
        self._dialect = dialect
        self._transaction = transaction

    @property
    def chain(self) -> SqlChainTables:
        """What is kept of the contracts."""
        return SqlChainTables(self._connection, self._dialect)

    @property
    def connection(self) -> Connection:
        """The connection with the open transaction, for statements of the caller's own in it."""
        return self._connection

    async def lock(self, ids: Collection[str]) -> dict[str, Stream]:
        """Return the streams that exist, locked in the order of their ids."""
        if not ids:
            return {}
        wanted = self._dialect.values(sorted_unique(ids))
        query = select(*_STREAM_COLUMNS).where(streams.c.id.in_(wanted)).order_by(streams.c.id).with_for_update()
        return {row["id"]: stream_of(row) for row in await self._connection.fetch_all(query)}

    async def insert(self, new: Sequence[Stream]) -> None:
        """Store new streams, in the order of their ids: writers of the same ones don't wait in a circle."""
        await self._insert(streams, [_row(stream) for stream in sorted(new, key=lambda stream: stream.id)])

    async def update(self, changed: Sequence[Stream]) -> None:
        """Store changed streams, in the order in which they were locked."""
        await self._update([stream for stream in changed if stream.chain is None], _MUTABLE)
        await self._update([stream for stream in changed if stream.chain is not None], _MUTABLE_BY_CHAIN)

    async def _update(self, changed: Sequence[Stream], mutable: tuple[str, ...]) -> None:
        if not changed:
            return
        names = ("id", *mutable)
        rows = [_row(stream, names) for stream in changed]
        given = self._dialect.rows(_document(rows), [streams.c[name] for name in names])
        values = {name: given.c[name] for name in mutable}
        await self._connection.execute(update(streams).where(streams.c.id == given.c.id).values(values))

    async def seen(self, keys: Collection[ChainKey]) -> set[ChainKey]:
        """Return the chain events among these that were taken before."""
        columns = list(chain_events.c)
        given = self._dialect.rows(_document(_key_rows(keys)), columns)
        same = and_(*(column == given.c[column.name] for column in columns))
        rows = await self._connection.fetch_all(select(*columns).select_from(chain_events.join(given, same)))
        return {(row["transaction_hash"], row["event_index"]) for row in rows}

    async def mark_seen(self, keys: Sequence[ChainKey]) -> None:
        """Remember chain events for good, in their order, for the same reason."""
        await self._insert(chain_events, _key_rows(sorted(keys)))

    async def recall(self, key: str) -> Replay | None:
        """Return the answer that was given under an idempotency key."""
        row = await self._connection.fetch_one(select(idempotency_keys).where(idempotency_keys.c.key == key))
        return None if row is None else Replay(row["fingerprint"], row["body"].encode())

    async def remember(self, key: IdempotencyKey, body: bytes) -> None:
        """Keep the answer."""
        row = {"key": key.key, "fingerprint": key.fingerprint, "body": body.decode()}
        await self._insert(idempotency_keys, [{**row, "created_at": timestamp(utc_now())}])

    async def append(self, drafts: Sequence[Draft]) -> Appended:
        """Append to the log, under its lock."""
        await self._dialect.lock_log(self._connection)
        position: Position = await position_of(self._connection, self._dialect)
        rows = [_event_row(draft) for draft in drafts]
        ids = await self._dialect.append(self._connection, stream_events, rows, after=position.head)
        events = [
            event_of(position.epoch, seq, *(row[column.name] for column in COLUMNS[1:]))
            for seq, row in zip(ids, rows, strict=True)
        ]
        return Appended(position.at(position.head), events)

    async def commit(self) -> None:
        """Commit."""
        await self._transaction.commit()

    async def _insert(self, table: Table, rows: Sequence[Row]) -> None:
        if rows:
            await self._dialect.insert(self._connection, table, rows)


class SqlStore:
    """Opens units of work, and reads streams."""

    def __init__(self, database: Database, dialect: Dialect) -> None:
        """`database` is connected by whoever owns it."""
        self._database = database
        self._dialect = dialect
        self._readers = readers_of(database, dialect)
        self._writers = asyncio.Semaphore(dialect.concurrent_writers)
        self.told: Callable[[str | None], None] = lambda _: None
        """Told after each transaction what somebody must mend before writes succeed, or None."""

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[SqlUnitOfWork]:
        """Open a unit of work; leaving it without `commit` undoes it."""
        async with self.transaction() as (connection, transaction):
            yield SqlUnitOfWork(connection, self._dialect, transaction)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[tuple[Connection, Transaction]]:
        """Open a transaction, in the one queue in which all writers wait; run it in a task that is not cancelled."""
        try:
            with translated():
                async with (
                    self._writers,
                    borrowed(self._database) as connection,
                    self._dialect.transaction(connection) as transaction,
                ):
                    yield connection, transaction
        except Unavailable as error:
            if isinstance(error.__cause__, Unfit):
                self.told(str(error))
            raise
        self.told(None)

    async def read(self, read: Callable[[Connection], Awaitable[Result]]) -> Result:
        """Return what `read` makes of a connection, in the one queue of readers. Raises Unavailable."""
        return await self._readers.run(read)

    async def settle(self) -> None:
        """Do what a writer would otherwise have to do after many small changes."""
        await self._readers.run(self._dialect.settle)

    async def get(self, stream_id: str) -> Stream | None:
        """Return one stream."""
        if not storable(stream_id):
            return None
        query = select(*_STREAM_COLUMNS).where(streams.c.id == stream_id)
        row = await self._readers.run(lambda connection: connection.fetch_one(query))
        return None if row is None else stream_of(row)

    async def page(self, query: StreamQuery) -> StreamPage:
        """Return streams, newest first."""
        created_at, identity = streams.c.created_at, streams.c.id
        conditions: list[ColumnElement[bool]] = [
            column.in_(values)
            for column, values in (
                (streams.c.status, query.statuses),
                (streams.c.sender, query.senders),
                (streams.c.recipient, query.recipients),
                (streams.c.contract_id, query.contracts),
            )
            if values
        ]
        if query.participants:
            conditions.append(or_(*(side.in_(query.participants) for side in (streams.c.sender, streams.c.recipient))))
        if query.before:
            moment, stream_id = query.before
            conditions.append(or_(created_at < moment, and_(created_at == moment, identity < stream_id)))
        ordered = select(*_STREAM_COLUMNS).where(*conditions).order_by(created_at.desc(), identity.desc())
        rows = await self._readers.run(lambda connection: connection.fetch_all(ordered.limit(query.limit + 1)))
        found = [stream_of(row) for row in rows[: query.limit]]
        more = len(rows) > query.limit
        return StreamPage(found, (found[-1].created_at, found[-1].id) if more else None)

    async def parked(self, after: int, limit: int) -> list[ParkedItem]:
        """Return the chain's items that wait, by their ids."""
        query = select(chain_parked).where(chain_parked.c.id > after).order_by(chain_parked.c.id).limit(limit)
        rows = await self._readers.run(lambda connection: connection.fetch_all(query))
        return [parked_item(row) for row in rows]


def stream_of(row: Any) -> Stream:
    """Make a stream of its row."""
    # By position: looking a column up by its name costs a microsecond each, of a batch's sixteen thousand.
    values = dict(zip(_STREAM_NAMES, row._mapping, strict=True))
    if values["chain"] is not None:
        values["chain"] = chain_stream_of(orjson.loads(values["chain"]))
    return Stream(**{**values, "status": Status(values["status"])})


def _row(stream: Stream, names: Sequence[str] = _STREAM_NAMES) -> dict[str, Any]:
    row = {**{name: getattr(stream, name) for name in names}, "status": stream.status.value}
    if stream.chain is not None:
        row["chain"] = _document(stream_record(stream.chain))
    return row


def _event_row(draft: Draft) -> dict[str, Any]:
    former, known, *_ = (*draft.parties, None, None)
    return {
        "event": draft.name,
        "stream_id": draft.stream.id,
        "version": draft.stream.version,
        "sender": draft.stream.sender,
        "recipient": draft.stream.recipient,
        "body": draft.body().decode(),
        "contract_id": draft.stream.contract_id,
        "cause": draft.cause,
        "former_recipient": former,
        "known_recipient": known,
        "created_at": draft.timestamp,
    }


def _key_rows(keys: Iterable[ChainKey]) -> list[dict[str, Any]]:
    return [{"transaction_hash": transaction, "event_index": index} for transaction, index in keys]


def _document(rows: Any) -> str:
    return orjson.dumps(rows).decode()
