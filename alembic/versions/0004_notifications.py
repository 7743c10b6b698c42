"""
What the rules for notifications need: whom an item of the outbox is for, what was sent, each channel's pace, and the addresses
that do not work.
"""

import sqlalchemy as sa

from alembic import op

revision = "0004_notifications"
down_revision = "0003_outbox_decisions"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("outbox", sa.Column("recipient", sa.String(), nullable=True))
    op.create_index(
        "ix_outbox_recipient",
        "outbox",
        ["tenant", "recipient"],
        unique=False,
        sqlite_where=sa.text("status = 'due'"),
        postgresql_where=sa.text("status = 'due'"),
    )
    op.create_table(
        "sendings",
        sa.Column("tenant", sa.String(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("channel", sa.String(), nullable=False),
        sa.Column("recipient", sa.String(), nullable=False),
        sa.Column("text", sa.String(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("reference", sa.String(), nullable=True),
        sa.PrimaryKeyConstraint("tenant", "key", name=op.f("pk_sendings")),
    )
    op.create_index(op.f("ix_sendings_recipient_at"), "sendings", ["recipient", "at"], unique=False)
    op.create_index(op.f("ix_sendings_at"), "sendings", ["at"], unique=False)
    op.create_table(
        "paces",
        sa.Column("channel", sa.String(), nullable=False),
        sa.Column("next_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("channel", name=op.f("pk_paces")),
    )
    op.create_table(
        "refused_addresses",
        sa.Column("tenant", sa.String(), nullable=False),
        sa.Column("recipient", sa.String(), nullable=False),
        sa.Column("channel", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "recipient", name=op.f("pk_refused_addresses")),
    )


def downgrade() -> None:
    op.drop_table("refused_addresses")
    op.drop_table("paces")
    op.drop_table("sendings")
    op.drop_index("ix_outbox_recipient", table_name="outbox")
    op.drop_column("outbox", "recipient")
