"""
What tools and models answered in a turn, in full, where an operator wants that kept.
"""

import sqlalchemy as sa

from alembic import op

revision = "0009_turn_recordings"
down_revision = "0008_effect_times"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "turn_recordings",
        sa.Column("tenant", sa.String(), nullable=False),
        sa.Column("turn_id", sa.String(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "turn_id", name=op.f("pk_turn_recordings")),
    )
    op.create_index(op.f("ix_turn_recordings_at"), "turn_recordings", ["at"], unique=False)


def downgrade() -> None:
    op.drop_index(op.f("ix_turn_recordings_at"), table_name="turn_recordings")
    op.drop_table("turn_recordings")
