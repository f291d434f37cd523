"""Pages of streams, newest first."""

from collections.abc import Collection, Iterator, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, false, or_, select

from app.core.access.grant import Limit
from app.core.ports import StreamQuery
from app.store.dialect import Dialect
from app.store.rows import STREAM_COLUMNS, document, texts
from app.store.tables import streams

_SENDER, _RECIPIENT = streams.c.sender, streams.c.recipient


def asks_for_parties(query: StreamQuery) -> bool:
    """Tell whether it needs to know the blocks."""
    return bool(query.senders or query.recipients or query.participants or query.reach)


def page_of(query: StreamQuery, dialect: Dialect, newest_block: int) -> Select[Any]:
    """Return the statement for a page, and one row more if there is one."""
    created_at, identity = streams.c.created_at, streams.c.id
    conditions = list(_Conditions(dialect, newest_block).of(query))
    if query.before:
        moment, stream_id = query.before
        conditions.append(or_(created_at < moment, and_(created_at == moment, identity < stream_id)))
    ordered = select(*STREAM_COLUMNS).where(*conditions).order_by(created_at.desc(), identity.desc())
    return ordered.limit(query.limit + 1)


class _Conditions:
    def __init__(self, dialect: Dialect, newest_block: int) -> None:
        self._dialect = dialect
        self._blocks = document(list(range(newest_block + 1)))

    def of(self, query: StreamQuery) -> Iterator[ColumnElement[bool]]:
        if query.statuses:
            yield streams.c.status.in_(query.statuses)
        if query.contracts:
            yield streams.c.contract_id.in_(query.contracts)
        for sides, addresses in (
            ((_SENDER,), query.senders),
            ((_RECIPIENT,), query.recipients),
            ((_SENDER, _RECIPIENT), query.participants),
        ):
            if addresses:
                yield or_(*self._parties(sides, addresses))
        if query.reach is not None:
            yield or_(false(), *self._within(query.reach))

    def _within(self, reach: Limit) -> Iterator[ColumnElement[bool]]:
        """Give the ways in which a stream is one of those."""
        if reach.own:
            yield from self._parties((_SENDER, _RECIPIENT), reach.own)
        if reach.stream_ids:
            yield self._among(streams.c.id, reach.stream_ids)
        if reach.contracts:
            yield self._among(streams.c.contract_id, reach.contracts)

    def _parties(
        self, sides: Sequence[ColumnElement[str]], addresses: Collection[str]
    ) -> Iterator[ColumnElement[bool]]:
        in_blocks = self._dialect.among(streams.c.block, self._blocks)
        return (and_(in_blocks, self._among(side, addresses)) for side in sides)

    def _among(self, column: ColumnElement[Any], values: Collection[str]) -> ColumnElement[bool]:
        return self._dialect.among(column, texts(sorted(values)))
