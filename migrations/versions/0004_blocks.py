"""Events by their parties within blocks of ids, so that an ingest touches the newest block, not pages all over."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_PARTIES = ("sender", "recipient")


def upgrade() -> None:
    """Index anew. The version before still finds all, by looking at more of the log."""
    for name in _PARTIES:
        op.create_index(
            f"ix_stream_events_block_{name}_id", "stream_events", [sa.text("(id >> 14)"), name, "id"], unique=False
        )
        op.drop_index(f"ix_stream_events_{name}_id", "stream_events")
    op.execute("INSERT INTO schema_compatible (revision) VALUES ('0003')")


def downgrade() -> None:
    """Index as before."""
    op.execute("DELETE FROM schema_compatible WHERE revision = '0003'")
    for name in _PARTIES:
        op.create_index(f"ix_stream_events_{name}_id", "stream_events", [name, "id"])
        op.drop_index(f"ix_stream_events_block_{name}_id", "stream_events")
