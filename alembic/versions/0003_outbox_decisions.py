"""
What an operator decided about a promised effect, and when it came to its end.
"""

import sqlalchemy as sa

from alembic import op

revision = "0003_outbox_decisions"
down_revision = "0002_turn_events"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("outbox", sa.Column("settled_at", sa.BigInteger(), nullable=True))
    op.add_column("outbox", sa.Column("decision", sa.Text(), nullable=True))


def downgrade() -> None:
    op.drop_column("outbox", "decision")
    op.drop_column("outbox", "settled_at")
