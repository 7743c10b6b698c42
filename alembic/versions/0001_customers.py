"""
The company's customers and their orders.
"""

import sqlalchemy as sa

from alembic import op

revision = "0001_customers"
down_revision = None
branch_labels = ("customers",)
depends_on = None


def upgrade() -> None:
    op.create_table(
        "customers",
        sa.Column("tenant", sa.String(), nullable=False),
        sa.Column("customer_id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("email", sa.String(), nullable=True),
        sa.Column("phone", sa.String(), nullable=True),
        sa.Column("locale", sa.String(), nullable=True),
        sa.Column("timezone", sa.String(), nullable=True),
        sa.Column("attributes", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "customer_id", name=op.f("pk_customers")),
    )
    op.create_table(
        "orders",
        sa.Column("tenant", sa.String(), nullable=False),
        sa.Column("order_id", sa.String(), nullable=False),
        sa.Column("customer_id", sa.String(), nullable=False),
        sa.Column("placed_at", sa.BigInteger(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("items", sa.JSON(), nullable=False),
        sa.Column("total_cents", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.String(), nullable=False),
        sa.Column("tracking", sa.String(), nullable=True),
        sa.Column("expected_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["tenant", "customer_id"],
            ["customers.tenant", "customers.customer_id"],
            name=op.f("fk_orders_customers"),
        ),
        sa.PrimaryKeyConstraint("tenant", "order_id", name=op.f("pk_orders")),
    )
    op.create_index(
        op.f("ix_orders_tenant_customer_id_placed_at"),
        "orders",
        ["tenant", "customer_id", "placed_at"],
        unique=False,
    )


def downgrade() -> None:
    op.drop_table("orders")
    op.drop_table("customers")
