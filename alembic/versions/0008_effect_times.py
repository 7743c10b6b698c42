"""
When each effect came to stand as it does.

Those that are there already count from now, and so do those that an older version writes beside this one.
"""

import time

import sqlalchemy as sa

from alembic import op

revision = "0008_effect_times"
down_revision = "0007_knowledge_versions"
branch_labels = None
depends_on = None


def upgrade() -> None:
    now = str(int(time.time() * 1_000_000))
    op.add_column("effects", sa.Column("at", sa.BigInteger(), nullable=False, server_default=now))
    op.create_index(op.f("ix_effects_at"), "effects", ["at"], unique=False)


def downgrade() -> None:
    op.drop_index(op.f("ix_effects_at"), table_name="effects")
    op.drop_column("effects", "at")
