"""The tables, the same on PostgreSQL and SQLite.

Amounts are decimal texts and times ISO 8601 texts in UTC: SQLite would put numerics through floats and drop offsets,
and what is stored is what goes over the wire.
"""

from typing import Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Double,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    literal_column,
    text,
)

SCHEMA_REVISION: Final = "0005"
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
    Column("chain_stream_id", Text),
    Column("chain", Text),
    Column("block", BigInteger, nullable=False, server_default="0"),
    Index("ix_streams_created_at_id", "created_at", "id"),
    Index("ix_streams_block_sender", "block", "sender"),
    Index("ix_streams_block_recipient", "block", "recipient"),
    Index("uq_streams_contract_id_chain_stream_id", "contract_id", "chain_stream_id", unique=True),
)


BLOCK_BITS: Final = 14
_BLOCK: Final = f"(id >> {BLOCK_BITS})"
"""Events are indexed by their parties and streams within blocks of 16,384, and streams by their parties within blocks
of their own (`app.store.stream_blocks`). A payer's key is a random place in an index of all: at 400,000 events, each
such index cost an ingest a page that nothing else of the batch touched. Only a stream's id is sought without it."""


def _index_by_block(name: str) -> Index:
    return Index(f"ix_stream_events_block_{name}_id", text(_BLOCK), name, "id")


def _index_of_few(name: str) -> Index:
    """Return the index of a column that is empty in nearly all events."""
    given = text(f"{name} IS NOT NULL")
    return Index(f"ix_stream_events_{name}_id", name, "id", postgresql_where=given, sqlite_where=given)


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
    Column("contract_id", Text),
    Column("cause", Text),
    # A change of recipient is told to the one that it names as old, and to the one who was known, if he is another.
    Column("former_recipient", Text),
    Column("known_recipient", Text),
    # It serves who asks for a stream. That no version comes twice is ensured by the stream's lock; this only guards it.
    Index("uq_stream_events_block_stream_id_version", text(_BLOCK), "stream_id", "version", unique=True),
    _index_by_block("sender"),
    _index_by_block("recipient"),
    Index("ix_stream_events_contract_id_id", "contract_id", "id"),
    _index_of_few("former_recipient"),
    _index_of_few("known_recipient"),
    # Without AUTOINCREMENT, SQLite gives the id of a deleted newest row away again.
    sqlite_autoincrement=True,
)

block = literal_column(f"(stream_events.id >> {BLOCK_BITS})", BigInteger)
"""The indexes' own expression, to the letter: only then they are used."""

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
"""Events of the chain that were taken, but those that began a stream: its id tells of them."""

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("key", Text, primary_key=True),
    Column("fingerprint", Text, nullable=False),
    Column("body", Text, nullable=False),
    Column("created_at", Text, nullable=False, index=True),
)

chain_contracts = Table(
    "chain_contracts",
    metadata,
    Column("contract_id", Text, primary_key=True),
    Column("state", Text, nullable=False),
)
"""What events changed of a contract: `app.core.contract.record.state_record`."""

chain_parked = Table(
    "chain_parked",
    metadata,
    Column("id", _id, primary_key=True, autoincrement=True),
    Column("key", Text, nullable=False, unique=True),
    Column("contract_id", Text),
    Column("missing", Text),
    Column("why", Text, nullable=False),
    Column("message", Text, nullable=False),
    Column("item", Text, nullable=False),
    Column("hint", Text),
    Column("place", Text),
    Column("created_at", Text, nullable=False),
    Column("tries", Integer, nullable=False),
    Index("ix_chain_parked_contract_id_missing", "contract_id", "missing"),
    sqlite_autoincrement=True,
)
"""Items that wait. `key` names one for good; `missing` is the stream on the chain that it waits for."""

chain_positions = Table(
    "chain_positions",
    metadata,
    Column("contract_set", Text, primary_key=True),
    Column("position", Text),
    Column("gap_first", BigInteger),
    Column("gap_last", BigInteger),
    Column("resumed", Boolean, nullable=False),
    Column("reread_due", Boolean, nullable=False),
    Column("updated_at", Text, nullable=False),
)

chain_leases = Table(
    "chain_leases",
    metadata,
    Column("name", Text, primary_key=True),
    Column("owner", Text),
    Column("until", Double, nullable=False),
)
"""`until` is Unix seconds by the database's clock."""

chain_outages = Table(
    "chain_outages",
    metadata,
    Column("source", Text, primary_key=True),
    Column("reason", Text, nullable=False),
    Column("since", Text, nullable=False),
)
"""What is out of order for every process, also after a restart."""

schema_compatible = Table("schema_compatible", metadata, Column("revision", Text, primary_key=True))
"""Older revisions that the schema still serves: a migration that only expands it keeps them, one that contracts it
takes them out. So the version before runs on the new schema, and a release is rolled back without a migration."""

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("hash", Text, nullable=False),
    Column("scopes", Text, nullable=False),
    Column("reach", Text),
    Column("created_at", Double, nullable=False),
    Column("expires_at", Double),
    Column("revoked_at", Double),
    Column("last_used_at", Double),
)
"""`reach` is the limit of what may be read, as JSON; times are Unix seconds."""

access_secrets = Table(
    "access_secrets",
    metadata,
    Column("kind", Text, primary_key=True),
    Column("digest", Text, primary_key=True),
    Column("document", Text, nullable=False),
    Column("until", Double, nullable=False, index=True),
)
"""Hashes of tickets and sessions, and what they stand for."""

access_revocations = Table(
    "access_revocations",
    metadata,
    Column("id", _id, primary_key=True, autoincrement=True),
    Column("what", Text, nullable=False),
    Column("until", Double, nullable=False),
    sqlite_autoincrement=True,
)

audit = Table(
    "audit",
    metadata,
    Column("id", _id, primary_key=True, autoincrement=True),
    Column("at", Text, nullable=False),
    Column("principal", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("request_id", Text),
    Column("address", Text),
    Column("first", Text),
    Column("last", Text),
    Column("count", Integer, nullable=False),
    Column("detail", Text, nullable=False),
    sqlite_autoincrement=True,
)
