"""Streams, the log of their events, and what makes writes idempotent."""

import secrets

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables, and the log with a token of its own."""
    op.create_table(
        "streams",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("sender", sa.Text, nullable=False),
        sa.Column("recipient", sa.Text, nullable=False),
        sa.Column("deposit_amount", sa.Text, nullable=False),
        sa.Column("streamed_amount", sa.Text, nullable=False),
        sa.Column("remaining_amount", sa.Text, nullable=False),
        sa.Column("rate_per_second", sa.Text, nullable=False),
        sa.Column("start_time", sa.BigInteger, nullable=False),
        sa.Column("end_time", sa.BigInteger, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("contract_id", sa.Text),
        sa.Column("transaction_hash", sa.Text),
        sa.Column("event_index", sa.Integer),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("created_at", sa.Text, nullable=False),
        sa.Column("updated_at", sa.Text, nullable=False),
    )
    op.create_index("ix_streams_created_at_id", "streams", ["created_at", "id"])
    op.create_index("ix_streams_sender", "streams", ["sender"])
    op.create_index("ix_streams_recipient", "streams", ["recipient"])

    op.create_table(
        "stream_events",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
        sa.Column("event", sa.Text, nullable=False),
        sa.Column("stream_id", sa.Text, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("sender", sa.Text, nullable=False),
        sa.Column("recipient", sa.Text, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("created_at", sa.Text, nullable=False),
        sa.UniqueConstraint("stream_id", "version", name="uq_stream_events_stream_id_version"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_stream_events_sender_id", "stream_events", ["sender", "id"])
    op.create_index("ix_stream_events_recipient_id", "stream_events", ["recipient", "id"])

    log_state = op.create_table(
        "log_state",
        sa.Column("id", sa.Integer, sa.CheckConstraint("id = 1", name="ck_log_state_single_row"), primary_key=True),
        sa.Column("token", sa.Text, nullable=False),
        sa.Column("floor", sa.BigInteger, nullable=False),
    )
    op.bulk_insert(log_state, [{"id": 1, "token": secrets.token_hex(8), "floor": 0}])

    op.create_table(
        "chain_events",
        sa.Column("transaction_hash", sa.Text, primary_key=True),
        sa.Column("event_index", sa.Integer, primary_key=True, autoincrement=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "idempotency_keys",
        sa.Column("key", sa.Text, primary_key=True),
        sa.Column("fingerprint", sa.Text, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("created_at", sa.Text, nullable=False),
    )
    op.create_index("ix_idempotency_keys_created_at", "idempotency_keys", ["created_at"])


def downgrade() -> None:
    """Drop everything."""
    for name in ("idempotency_keys", "chain_events", "log_state", "stream_events", "streams"):
        op.drop_table(name)
