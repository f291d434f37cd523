"""Rows of the tables, and what they are made of."""

from collections.abc import Iterable, Sequence
from dataclasses import fields
from typing import Any, Final

import orjson

from app.core.contract.record import stream_of as chain_stream_of
from app.core.contract.record import stream_record
from app.core.contract.replacing import made
from app.core.event import Draft
from app.core.ports import ChainKey
from app.core.stream import Status, Stream
from app.store.dialect import storable
from app.store.tables import streams

_STATUSES: Final = {status.value: status for status in Status}
_STREAM_NAMES: Final = tuple(field.name for field in fields(Stream))
STREAM_COLUMNS: Final = [streams.c[name] for name in _STREAM_NAMES]


def stream_of(row: Any) -> Stream:
    """Make a stream of its row."""
    # By position: looking a column up by its name costs a microsecond each, of a batch's sixteen thousand.
    values = dict(zip(_STREAM_NAMES, row._mapping, strict=True))
    if values["chain"] is not None:
        values["chain"] = chain_stream_of(orjson.loads(values["chain"]))
    values["status"] = _STATUSES[values["status"]]
    return made(Stream, values)


def stream_row(stream: Stream, names: Sequence[str] = _STREAM_NAMES) -> dict[str, Any]:
    """Return these columns of a stream's row."""
    values = stream.__dict__
    row = {**{name: values[name] for name in names}, "status": stream.status.value}
    if stream.chain is not None:
        row["chain"] = document(stream_record(stream.chain))
    return row


def event_row(draft: Draft) -> dict[str, Any]:
    """Return the row of an event that has no id yet."""
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


def key_rows(keys: Iterable[ChainKey]) -> list[dict[str, Any]]:
    """Return the rows of chain events that were taken."""
    return [{"transaction_hash": transaction, "event_index": index} for transaction, index in keys]


def made_id(key: ChainKey) -> str:
    """Return the id of the stream that a chain event began, if it began one: to the letter, as `Queries.seen` looks."""
    transaction, index = key
    return f"stream-{transaction}-{index}"


def document(rows: Any) -> str:
    """Return JSON, as a statement's parameter."""
    return orjson.dumps(rows).decode()


def texts(values: Iterable[str]) -> str:
    """Return texts as JSON, without those that no column can hold: they are not found."""
    return document([value for value in values if storable(value)])
