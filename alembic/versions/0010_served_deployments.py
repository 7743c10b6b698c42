"""
What a deployment serves, who probes it at the moment, how often a definition has been changed, and lists by one index.
"""

import sqlalchemy as sa

from alembic import op

revision = "0010_served_deployments"
down_revision = "0009_turn_recordings"
branch_labels = None
depends_on = None

_LISTED = (
    "agent_classes",
    "model_providers",
    "system_prompts",
    "tool_records",
    "agent_definitions",
    "deployments",
)


def upgrade() -> None:
    op.add_column(
        "agent_definitions", sa.Column("version", sa.BigInteger(), nullable=False, server_default="1")
    )
    op.add_column("deployments", sa.Column("pinned", sa.JSON(), nullable=True))
    op.add_column("deployments", sa.Column("model_provider_id", sa.String(), nullable=True))
    op.add_column("deployments", sa.Column("probing_owner", sa.String(), nullable=True))
    op.add_column("deployments", sa.Column("probing_until", sa.BigInteger(), nullable=True))
    op.create_index(
        op.f("ix_deployments_status_environment"), "deployments", ["status", "environment"], unique=False
    )
    for table in _LISTED:
        op.drop_index(op.f(f"ix_{table}_tenant_number"), table_name=table)
        op.create_index(op.f(f"ix_{table}_tenant_number_id"), table, ["tenant", "number", "id"], unique=False)


def downgrade() -> None:
    for table in _LISTED:
        op.drop_index(op.f(f"ix_{table}_tenant_number_id"), table_name=table)
        op.create_index(op.f(f"ix_{table}_tenant_number"), table, ["tenant", "number"], unique=False)
    op.drop_index(op.f("ix_deployments_status_environment"), table_name="deployments")
    for column in ("probing_until", "probing_owner", "model_provider_id", "pinned"):
        op.drop_column("deployments", column)
    op.drop_column("agent_definitions", "version")
