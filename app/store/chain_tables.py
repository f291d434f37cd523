"""What is kept of the contracts, within a transaction."""

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

import orjson
from sqlalchemy import and_, delete, insert, select, text, update

from app.core.accrual import Kind
from app.core.chain_port import ParkedItem, StoredPosition
from app.core.clock import timestamp, utc_now
from app.core.contract.batch import StreamKey
from app.core.contract.place import Hint
from app.store.dialect import Dialect
from app.store.rows import texts
from app.store.tables import chain_contracts, chain_outages, chain_parked, chain_positions, streams
from app.store.transaction import Transaction

_NEW_POSITION: Final = (
    "INSERT INTO chain_positions (contract_set, resumed, reread_due, updated_at)"
    " VALUES (:set, :no, :no, :now) ON CONFLICT DO NOTHING"
)
_NEW_CONTRACT: Final = "INSERT INTO chain_contracts (contract_id, state) VALUES (:id, '') ON CONFLICT DO NOTHING"


class SqlChainTables:
    """The core's `ChainTables`."""

    def __init__(self, transaction: Transaction, dialect: Dialect) -> None:
        """Work on a transaction that is open."""
        self._transaction = transaction
        self._dialect = dialect

    async def position(self, contract_set: str) -> StoredPosition:
        """Return how far the contracts were read; the row is locked."""
        new = text(_NEW_POSITION).bindparams(set=contract_set, no=False, now=timestamp(utc_now()))
        await self._transaction.execute(new)
        query = select(chain_positions).where(chain_positions.c.contract_set == contract_set).with_for_update()
        return stored_position(await self._transaction.fetch_one(query))

    async def store_position(self, contract_set: str, position: StoredPosition) -> None:
        """Store how far."""
        first, last = position.gap or (None, None)
        values = {
            "position": position.position,
            "gap_first": first,
            "gap_last": last,
            "resumed": position.resumed,
            "reread_due": position.reread_due,
            "updated_at": timestamp(utc_now()),
        }
        row = chain_positions.c.contract_set == contract_set
        await self._transaction.execute(update(chain_positions).where(row).values(values))

    async def known_streams(self, contract_id: str) -> dict[int, bool]:
        """Return the contract's streams by their numbers: whether it still has a record of one."""
        query = select(streams.c.chain_stream_id, streams.c.chain).where(
            streams.c.contract_id == contract_id, streams.c.chain_stream_id.is_not(None)
        )
        rows = await self._transaction.fetch_all(query)
        return {int(row["chain_stream_id"]): orjson.loads(row["chain"])["closed_at"] is None for row in rows}

    async def lock_contracts(self, ids: Collection[str]) -> dict[str, dict[str, Any]]:
        """Return the states as they were stored; their rows are locked in the order of their ids."""
        if not ids:
            return {}
        query = (
            select(chain_contracts)
            .where(chain_contracts.c.contract_id.in_(self._dialect.values(texts(sorted(ids)))))
            .order_by(chain_contracts.c.contract_id)
            .with_for_update()
        )
        rows = await self._transaction.fetch_all(query)
        if len(rows) < len(ids):
            for contract_id in sorted(ids):
                await self._transaction.execute(text(_NEW_CONTRACT).bindparams(id=contract_id))
            rows = await self._transaction.fetch_all(query)
        return {row["contract_id"]: orjson.loads(row["state"]) for row in rows if row["state"]}

    async def store_contracts(self, states: Mapping[str, Mapping[str, Any]]) -> None:
        """Store states of contracts that are locked, by their ids."""
        if not states:
            return
        rows = [{"contract_id": contract_id, "state": _text(state)} for contract_id, state in states.items()]
        given = self._dialect.rows(_text(rows), [chain_contracts.c.contract_id, chain_contracts.c.state])
        row = chain_contracts.c.contract_id == given.c.contract_id
        await self._transaction.execute(update(chain_contracts).where(row).values(state=given.c.state))

    async def stream_ids(self, keys: Collection[StreamKey]) -> list[str]:
        """Return the ids of the streams that are known by these keys."""
        if not keys:
            return []
        columns = [streams.c.contract_id, streams.c.chain_stream_id]
        given = self._dialect.rows(_key_document(keys, "chain_stream_id"), columns)
        same = and_(*(column == given.c[column.name] for column in columns))
        rows = await self._transaction.fetch_all(select(streams.c.id).select_from(streams.join(given, same)))
        return [row["id"] for row in rows]

    async def parked_keys(self, keys: Collection[str]) -> set[str]:
        """Return those of the items that are parked."""
        if not keys:
            return set()
        query = select(chain_parked.c.key).where(chain_parked.c.key.in_(self._dialect.values(texts(sorted(keys)))))
        return {row["key"] for row in await self._transaction.fetch_all(query)}

    async def park(self, items: Sequence[ParkedItem]) -> None:
        """Park items."""
        if items:
            await self._transaction.insert(chain_parked, [_row(item) for item in items])

    async def waiting_for(self, keys: Collection[StreamKey]) -> list[ParkedItem]:
        """Return the items that wait for one of these streams."""
        columns = [chain_parked.c.contract_id, chain_parked.c.missing]
        given = self._dialect.rows(_key_document(keys, "missing"), columns)
        same = and_(*(column == given.c[column.name] for column in columns))
        query = select(chain_parked).select_from(chain_parked.join(given, same)).order_by(chain_parked.c.id)
        return [parked_item(row) for row in await self._transaction.fetch_all(query)]

    async def parked(self, parked_id: int) -> ParkedItem | None:
        """Return one. Not locked: contracts are locked before their items, and an item twice taken counts once."""
        row = await self._transaction.fetch_one(select(chain_parked).where(chain_parked.c.id == parked_id))
        return None if row is None else parked_item(row)

    async def unpark(self, ids: Collection[int]) -> None:
        """Forget items."""
        for each in ids:
            await self._transaction.execute(delete(chain_parked).where(chain_parked.c.id == each))

    async def tried(self, items: Sequence[ParkedItem]) -> None:
        """Store the tries, and what is waited for now."""
        for item in items:
            values = {"missing": item.missing, "why": item.why, "message": item.message, "tries": item.tries}
            await self._transaction.execute(update(chain_parked).where(chain_parked.c.id == item.id).values(values))

    async def set_outage(self, source: str, reason: str | None) -> None:
        """Store or forget an outage; one that goes on keeps its beginning."""
        row = chain_outages.c.source == source
        if reason is None:
            await self._transaction.execute(delete(chain_outages).where(row))
            return
        known = await self._transaction.fetch_one(select(chain_outages.c.source).where(row))
        if known is None:
            values = {"source": source, "reason": reason, "since": timestamp(utc_now())}
            await self._transaction.execute(insert(chain_outages).values(values))
        else:
            await self._transaction.execute(update(chain_outages).where(row).values(reason=reason))


def stored_position(row: Any) -> StoredPosition:
    """Make a position of its row; None: nothing is stored."""
    if row is None:
        return StoredPosition()
    gap = None if row["gap_first"] is None else (row["gap_first"], row["gap_last"])
    return StoredPosition(row["position"], gap, bool(row["resumed"]), bool(row["reread_due"]))


def parked_item(row: Any) -> ParkedItem:
    """Make an item of its row."""
    values = dict(row._mapping)
    values["item"] = json.loads(values["item"])
    if values["hint"] is not None:
        digest, function, kind, index = orjson.loads(values["hint"])
        values["hint"] = Hint(digest, function, kind and Kind(kind), index)
    return ParkedItem(**values)


def _row(item: ParkedItem) -> dict[str, Any]:
    hint = item.hint
    return {
        "key": item.key,
        "contract_id": item.contract_id,
        "missing": item.missing,
        "why": item.why,
        "message": item.message,
        "item": json.dumps(item.item),
        "hint": None if hint is None else _text([hint.transaction_hash, hint.function, hint.kind, hint.event_index]),
        "place": item.place,
        "created_at": item.created_at,
        "tries": item.tries,
    }


def _key_document(keys: Collection[StreamKey], name: str) -> str:
    return _text([{"contract_id": contract_id, name: str(number)} for contract_id, number in keys])


def _text(value: Any) -> str:
    return orjson.dumps(value).decode()
