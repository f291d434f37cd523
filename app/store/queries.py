"""The reads of every write, built once for a database."""

from collections.abc import Collection
from typing import Any, Final

from sqlalchemy import Executable, Text, and_, bindparam, cast, or_, select

from app.core.ports import ChainKey, sorted_unique
from app.store.compiled import Prepared
from app.store.dialect import Dialect
from app.store.rows import STREAM_COLUMNS, document, key_rows, texts
from app.store.tables import chain_events, idempotency_keys, streams

_GIVEN: Final = bindparam("given", type_=Text, required=True)


class Queries:
    """What a unit of work asks before it writes."""

    def __init__(self, dialect: Dialect) -> None:
        """Build the statements."""
        self._lock = (
            select(*STREAM_COLUMNS)
            .where(streams.c.id.in_(dialect.values(_GIVEN)))
            .order_by(streams.c.id)
            .with_for_update()
        )
        self._recall = select(idempotency_keys).where(idempotency_keys.c.key.in_(dialect.values(_GIVEN)))
        self._seen = _taken(dialect)

    def lock(self, ids: Collection[str]) -> Prepared:
        """Return the streams with these ids, locked in their order."""
        return _with(self._lock, texts(sorted_unique(ids)))

    def recall(self, keys: Collection[str]) -> Prepared:
        """Return what was answered under these idempotency keys."""
        return _with(self._recall, texts(keys))

    def seen(self, keys: Collection[ChainKey]) -> Prepared:
        """Return the chain events among these that were taken before."""
        return _with(self._seen, document(key_rows(keys)))


def _taken(dialect: Dialect) -> Executable:
    """Return the statement that finds keys that are known, or that began a stream, whose id is then made of them."""
    given = dialect.rows(_GIVEN, list(chain_events.c))
    transaction, index = given.c.transaction_hash, given.c.event_index
    same = and_(chain_events.c.transaction_hash == transaction, chain_events.c.event_index == index)
    known = select(chain_events.c.event_index).where(same)
    begun = select(streams.c.id).where(streams.c.id == "stream-" + transaction + "-" + cast(index, Text))
    # Of one row each: PostgreSQL could otherwise read the whole table, to look the keys up in what it read.
    found = (each.limit(1).scalar_subquery().is_not(None) for each in (known, begun))
    return select(transaction, index).where(or_(*found))


def _with(statement: Any, given: str) -> Prepared:
    return Prepared(statement, {_GIVEN.key: given})
