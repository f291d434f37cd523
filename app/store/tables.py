"""The tables, the same on PostgreSQL and SQLite.

Amounts are decimal texts and times ISO 8601 texts in UTC: SQLite would put numerics through floats and drop offsets,
and what is stored is what goes over the wire.
"""

from typing import Final

from sqlalchemy import BigInteger, CheckConstraint, Column, Index, Integer, MetaData, Table, Text, UniqueConstraint

SCHEMA_REVISION: Final = "0001"
"""The migration this code is written for; the service serves no other schema."""

metadata = MetaData()

_id = BigInteger().with_variant(Integer, "sqlite")
"""SQLite counts up only in a column whose type is INTEGER, to the letter."""

streams = Table(
    "streams",
    metadata,
    Column("id", Text, primary_key=True),
    Column("sender", Text, nullable=False),
    Column("recipient", Text, nullable=False),
    Column("deposit_amount", Text, nullable=False),
    Column("streamed_amount", Text, nullable=False),
    Column("remaining_amount", Text, nullable=False),
    Column("rate_per_second", Text, nullable=False),
    Column("start_time", BigInteger, nullable=False),
    Column("end_time", BigInteger, nullable=False),
    Column("status", Text, nullable=False),
    Column("contract_id", Text),
    Column("transaction_hash", Text),
    Column("event_index", Integer),
    Column("version", Integer, nullable=False),
    Column("created_at", Text, nullable=False),
    Column("updated_at", Text, nullable=False),
    Index("ix_streams_created_at_id", "created_at", "id"),
    Index("ix_streams_sender", "sender"),
    Index("ix_streams_recipient", "recipient"),
)

stream_events = Table(
    "stream_events",
    metadata,
    Column("id", _id, primary_key=True, autoincrement=True),
    Column("event", Text, nullable=False),
    Column("stream_id", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("sender", Text, nullable=False),
    Column("recipient", Text, nullable=False),
    Column("body", Text, nullable=False),
    Column("created_at", Text, nullable=False),
    UniqueConstraint("stream_id", "version", name="uq_stream_events_stream_id_version"),
    Index("ix_stream_events_sender_id", "sender", "id"),
    Index("ix_stream_events_recipient_id", "recipient", "id"),
    # Without AUTOINCREMENT, SQLite gives the id of a deleted newest row away again.
    sqlite_autoincrement=True,
)

log_state = Table(
    "log_state",
    metadata,
    Column("id", Integer, CheckConstraint("id = 1", name="ck_log_state_single_row"), primary_key=True),
    Column("token", Text, nullable=False),
    Column("floor", BigInteger, nullable=False),
)

chain_events = Table(
    "chain_events",
    metadata,
    Column("transaction_hash", Text, primary_key=True),
    Column("event_index", Integer, primary_key=True, autoincrement=False),
    sqlite_with_rowid=False,
)

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("key", Text, primary_key=True),
    Column("fingerprint", Text, nullable=False),
    Column("body", Text, nullable=False),
    Column("created_at", Text, nullable=False, index=True),
)
