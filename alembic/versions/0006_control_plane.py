"""
The control plane: its resources, who changed them, and what requests were answered.
"""

import sqlalchemy as sa

from alembic import op

revision = "0006_control_plane"
down_revision = "0005_explanations"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "agent_classes",
        sa.Column("tenant", sa.String(), nullable=False),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.Column("description", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("tenant", "id", name=op.f("pk_agent_classes")),
        sa.UniqueConstraint("tenant", "name", name=op.f("uq_agent_classes_tenant_name")),
    )
    op.create_index(
        op.f("ix_agent_classes_tenant_number"), "agent_classes", ["tenant", "number"], unique=False
    )
    op.create_table(
        "model_providers",
        sa.Column("tenant", sa.String(), nullable=False),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.Column("api_base_url", sa.Text(), nullable=True),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("config", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "id", name=op.f("pk_model_providers")),
    )
    op.create_index(
        op.f("ix_model_providers_tenant_number"), "model_providers", ["tenant", "number"], unique=False
    )
    op.create_table(
        "system_prompts",
        sa.Column("tenant", sa.String(), nullable=False),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("content_storage_type", sa.String(), nullable=False),
        sa.Column("meta", sa.JSON(), nullable=True),
        sa.Column("agent_class_id", sa.String(), nullable=True),
        sa.PrimaryKeyConstraint("tenant", "id", name=op.f("pk_system_prompts")),
    )
    op.create_index(
        op.f("ix_system_prompts_tenant_number"), "system_prompts", ["tenant", "number"], unique=False
    )
    op.create_table(
        "tool_records",
        sa.Column("tenant", sa.String(), nullable=False),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.Column("json_schema", sa.JSON(), nullable=False),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("safety_policy", sa.Text(), nullable=True),
        sa.Column("risk_level", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "id", name=op.f("pk_tool_records")),
    )
    op.create_index(op.f("ix_tool_records_tenant_number"), "tool_records", ["tenant", "number"], unique=False)
    op.create_table(
        "agent_definitions",
        sa.Column("tenant", sa.String(), nullable=False),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.Column("agent_class_id", sa.String(), nullable=False),
        sa.Column("slug", sa.String(), nullable=False),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("system_prompt_id", sa.String(), nullable=True),
        sa.Column("structured_output_id", sa.String(), nullable=True),
        sa.Column("model_provider_id", sa.String(), nullable=True),
        sa.Column("model_name", sa.String(), nullable=True),
        sa.Column("execution_mode", sa.String(), nullable=False),
        sa.Column("config", sa.JSON(), nullable=False),
        sa.Column("allow_outbound_a2a", sa.Boolean(), nullable=False),
        sa.Column("tool_ids", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "id", name=op.f("pk_agent_definitions")),
        sa.UniqueConstraint("tenant", "slug", name=op.f("uq_agent_definitions_tenant_slug")),
    )
    op.create_index(
        op.f("ix_agent_definitions_tenant_number"), "agent_definitions", ["tenant", "number"], unique=False
    )
    op.create_table(
        "deployments",
        sa.Column("tenant", sa.String(), nullable=False),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.Column("agent_definition_id", sa.String(), nullable=False),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("environment", sa.String(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("config", sa.JSON(), nullable=False),
        sa.Column("project_context", sa.JSON(), nullable=False),
        sa.Column("blueprint_id", sa.String(), nullable=True),
        sa.Column("spec_md_path", sa.Text(), nullable=True),
        sa.Column("failure", sa.Text(), nullable=True),
        sa.Column("probed_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("tenant", "id", name=op.f("pk_deployments")),
    )
    op.create_index(op.f("ix_deployments_tenant_number"), "deployments", ["tenant", "number"], unique=False)
    op.create_table(
        "control_versions",
        sa.Column("tenant", sa.String(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", name=op.f("pk_control_versions")),
    )
    op.create_table(
        "control_changes",
        sa.Column("tenant", sa.String(), nullable=False),
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("place", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("who", sa.String(), nullable=False),
        sa.Column("action", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("resource_id", sa.String(), nullable=False),
        sa.Column("before", sa.JSON(), nullable=True),
        sa.Column("after", sa.JSON(), nullable=True),
        sa.PrimaryKeyConstraint("tenant", "number", "place", name=op.f("pk_control_changes")),
    )
    op.create_index(
        op.f("ix_control_changes_tenant_resource_id"),
        "control_changes",
        ["tenant", "resource_id"],
        unique=False,
    )
    op.create_table(
        "control_requests",
        sa.Column("tenant", sa.String(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("fingerprint", sa.String(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "key", name=op.f("pk_control_requests")),
    )
    op.create_index(op.f("ix_control_requests_at"), "control_requests", ["at"], unique=False)


def downgrade() -> None:
    op.drop_table("control_requests")
    op.drop_table("control_changes")
    op.drop_table("control_versions")
    op.drop_table("deployments")
    op.drop_table("agent_definitions")
    op.drop_table("tool_records")
    op.drop_table("system_prompts")
    op.drop_table("model_providers")
    op.drop_table("agent_classes")
