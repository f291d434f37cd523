"""What the chain tells of streams, and where reading it stands."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_TABLES = ("chain_contracts", "chain_parked", "chain_positions", "chain_leases", "chain_outages")
_UNIQUE = "uq_streams_contract_id_chain_stream_id"
_PARTIES = ("former_recipient", "known_recipient")


def upgrade() -> None:
    """Add columns that older rows leave empty; the log learns the contract of the streams that are still there."""
    op.add_column("streams", sa.Column("chain_stream_id", sa.Text))
    op.add_column("streams", sa.Column("chain", sa.Text))
    op.create_index(
        "uq_streams_contract_id_chain_stream_id", "streams", ["contract_id", "chain_stream_id"], unique=True
    )

    for name in ("contract_id", "cause", *_PARTIES):
        op.add_column("stream_events", sa.Column(name, sa.Text))
    op.execute(
        "UPDATE stream_events SET contract_id = (SELECT s.contract_id FROM streams s WHERE s.id = stream_id)"
        " WHERE contract_id IS NULL"
    )
    op.create_index("ix_stream_events_contract_id_id", "stream_events", ["contract_id", "id"])
    for name in _PARTIES:
        given = sa.text(f"{name} IS NOT NULL")
        op.create_index(
            f"ix_stream_events_{name}_id",
            "stream_events",
            [name, "id"],
            postgresql_where=given,
            sqlite_where=given,
        )
    _create_tables()


def _create_tables() -> None:
    # The version before serves this schema, too: nothing that it knows was changed.
    compatible = op.create_table("schema_compatible", sa.Column("revision", sa.Text, primary_key=True))
    op.bulk_insert(compatible, [{"revision": "0001"}])
    op.create_table(
        "chain_contracts",
        sa.Column("contract_id", sa.Text, primary_key=True),
        sa.Column("state", sa.Text, nullable=False),
    )
    op.create_table(
        "chain_parked",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
        sa.Column("key", sa.Text, nullable=False, unique=True),
        sa.Column("contract_id", sa.Text),
        sa.Column("missing", sa.Text),
        sa.Column("why", sa.Text, nullable=False),
        sa.Column("message", sa.Text, nullable=False),
        sa.Column("item", sa.Text, nullable=False),
        sa.Column("hint", sa.Text),
        sa.Column("place", sa.Text),
        sa.Column("created_at", sa.Text, nullable=False),
        sa.Column("tries", sa.Integer, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_chain_parked_contract_id_missing", "chain_parked", ["contract_id", "missing"])
    op.create_table(
        "chain_positions",
        sa.Column("contract_set", sa.Text, primary_key=True),
        sa.Column("position", sa.Text),
        sa.Column("gap_first", sa.BigInteger),
        sa.Column("gap_last", sa.BigInteger),
        sa.Column("resumed", sa.Boolean, nullable=False),
        sa.Column("reread_due", sa.Boolean, nullable=False),
        sa.Column("updated_at", sa.Text, nullable=False),
    )
    op.create_table(
        "chain_leases",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("owner", sa.Text),
        sa.Column("until", sa.Double, nullable=False),
    )
    op.create_table(
        "chain_outages",
        sa.Column("source", sa.Text, primary_key=True),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("since", sa.Text, nullable=False),
    )


def downgrade() -> None:
    """Drop what was added; streams and events stay."""
    for name in reversed(("schema_compatible", *_TABLES)):
        op.drop_table(name)
    for name in ("contract_id", *_PARTIES):
        op.drop_index(f"ix_stream_events_{name}_id", "stream_events")
    for name in ("contract_id", "cause", *_PARTIES):
        op.drop_column("stream_events", name)
    op.drop_index(_UNIQUE, "streams")
    op.drop_column("streams", "chain")
    op.drop_column("streams", "chain_stream_id")
