"""A create writes one random key, the stream's id: all others lie within the newest block.

In SQLite the log is written anew, for a constraint of a table cannot be dropped: a minute for a million events, and as
much room again on the disk until it is done.
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_PARTIES = ("sender", "recipient")
_UNIQUE = "uq_stream_events_stream_id_version"
_UNIQUE_IN_BLOCK = "uq_stream_events_block_stream_id_version"
_FEW = ("former_recipient", "known_recipient")


def upgrade() -> None:
    """Index streams and their versions by block. The version before still finds all, by looking at more."""
    op.add_column("streams", sa.Column("block", sa.BigInteger, nullable=False, server_default="0"))
    for name in _PARTIES:
        op.create_index(f"ix_streams_block_{name}", "streams", ["block", name])
        op.drop_index(f"ix_streams_{name}", "streams")
    if op.get_bind().dialect.name == "sqlite":
        _rewrite_log(unique=False)
    else:
        op.drop_constraint(_UNIQUE, "stream_events")
        _compress_quickly()
    op.create_index(_UNIQUE_IN_BLOCK, "stream_events", [sa.text("(id >> 14)"), "stream_id", "version"], unique=True)
    op.execute("INSERT INTO schema_compatible (revision) VALUES ('0004')")


def downgrade() -> None:
    """Index as before, and write down the keys of the events that a stream's id told of."""
    op.execute("DELETE FROM schema_compatible WHERE revision = '0004'")
    op.drop_index(_UNIQUE_IN_BLOCK, "stream_events")
    if op.get_bind().dialect.name == "sqlite":
        _rewrite_log(unique=True)
    else:
        op.create_unique_constraint(_UNIQUE, "stream_events", ["stream_id", "version"])
    for name in _PARTIES:
        op.create_index(f"ix_streams_{name}", "streams", [name])
        op.drop_index(f"ix_streams_block_{name}", "streams")
    op.drop_column("streams", "block")
    op.execute(
        "INSERT INTO chain_events (transaction_hash, event_index)"
        " SELECT transaction_hash, event_index FROM streams WHERE transaction_hash IS NOT NULL"
        " AND id = 'stream-' || transaction_hash || '-' || CAST(event_index AS TEXT)"
        " ORDER BY transaction_hash, event_index ON CONFLICT DO NOTHING"
    )


def _compress_quickly() -> None:
    """Compress what is new of the log by LZ4, where the server can: its own way takes 20 us for an event of 2 kB."""
    can = "SELECT 'lz4' = ANY(enumvals) FROM pg_settings WHERE name = 'default_toast_compression'"
    if op.get_bind().scalar(sa.text(can)):
        op.execute("ALTER TABLE stream_events ALTER COLUMN body SET COMPRESSION lz4")


def _rewrite_log(*, unique: bool) -> None:
    """Give the log its constraint, or take it away. No number is given twice: where it stood is kept, too."""
    bind = op.get_bind()
    stood = bind.scalar(sa.text("SELECT seq FROM sqlite_sequence WHERE name = 'stream_events'"))
    op.create_table(
        "stream_events_new",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("event", "stream_id")),
        sa.Column("version", sa.Integer, nullable=False),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("sender", "recipient", "body", "created_at")),
        *(sa.Column(name, sa.Text) for name in ("contract_id", "cause", *_FEW)),
        *([sa.UniqueConstraint("stream_id", "version", name=_UNIQUE)] if unique else []),
        sqlite_autoincrement=True,
    )
    op.execute(
        "INSERT INTO stream_events_new SELECT id, event, stream_id, version, sender, recipient, body, created_at,"
        " contract_id, cause, former_recipient, known_recipient FROM stream_events ORDER BY id"
    )
    op.drop_table("stream_events")
    op.rename_table("stream_events_new", "stream_events")
    bind.execute(sa.text("DELETE FROM sqlite_sequence WHERE name = 'stream_events'"))
    bind.execute(sa.text("INSERT INTO sqlite_sequence (name, seq) VALUES ('stream_events', :seq)"), {"seq": stood or 0})
    for name in _PARTIES:
        op.create_index(f"ix_stream_events_block_{name}_id", "stream_events", [sa.text("(id >> 14)"), name, "id"])
    op.create_index("ix_stream_events_contract_id_id", "stream_events", ["contract_id", "id"])
    for name in _FEW:
        given = sa.text(f"{name} IS NOT NULL")
        op.create_index(f"ix_stream_events_{name}_id", "stream_events", [name, "id"], sqlite_where=given)
