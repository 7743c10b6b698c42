"""
The events of turns that last, for listeners on other replicas.
"""

import sqlalchemy as sa

from alembic import op

revision = "0002_turn_events"
down_revision = "0001_record"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "turn_events",
        sa.Column("tenant", sa.String(), nullable=False),
        sa.Column("turn_id", sa.String(), nullable=False),
        sa.Column("run", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("last", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "turn_id", "run", "last", name=op.f("pk_turn_events")),
    )
    op.create_index(op.f("ix_turn_events_at"), "turn_events", ["at"], unique=False)


def downgrade() -> None:
    op.drop_index(op.f("ix_turn_events_at"), table_name="turn_events")
    op.drop_table("turn_events")
