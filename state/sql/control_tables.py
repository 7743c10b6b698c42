"""
The tables of the control plane: one for each kind of resource, with the columns of its record.
"""

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from core.control_records import (
    AgentClass,
    AgentDefinition,
    Deployment,
    ModelProvider,
    SystemPrompt,
    ToolRecord,
)
from state.sql.tables import metadata as metadata  # noqa: PLC0414 (whoever needs all tables takes it from here)
from state.sql.types import Instant


def _resource(name: str, *more: Column[object] | UniqueConstraint) -> Table:
    """`number` is the plane's version at its creation: it orders what was made."""
    return Table(
        name,
        metadata,
        Column("tenant", String, primary_key=True),
        Column("id", String, primary_key=True),
        Column("number", BigInteger, nullable=False),
        Column("name", String, nullable=False),
        Column("created_at", Instant, nullable=False),
        Column("updated_at", Instant, nullable=False),
        *more,
    )


agent_classes = _resource("agent_classes", Column("description", Text), UniqueConstraint("tenant", "name"))

model_providers = _resource(
    "model_providers",
    Column("api_base_url", Text),
    Column("description", Text),
    Column("config", JSON, nullable=False),
)

system_prompts = _resource(
    "system_prompts",
    Column("content", Text, nullable=False),
    Column("description", Text),
    Column("status", String, nullable=False),
    Column("content_storage_type", String, nullable=False),
    Column("meta", JSON),
    Column("agent_class_id", String),
)

tool_records = _resource(
    "tool_records",
    Column("json_schema", JSON, nullable=False),
    Column("description", Text),
    Column("safety_policy", Text),
    Column("risk_level", String, nullable=False),
)

agent_definitions = _resource(
    "agent_definitions",
    Column("agent_class_id", String, nullable=False),
    Column("slug", String, nullable=False),
    Column("description", Text),
    Column("status", String, nullable=False),
    Column("system_prompt_id", String),
    Column("structured_output_id", String),
    Column("model_provider_id", String),
    Column("model_name", String),
    Column("execution_mode", String, nullable=False),
    Column("config", JSON, nullable=False),
    Column("allow_outbound_a2a", Boolean, nullable=False),
    Column("tool_ids", JSON, nullable=False),
    Column("version", BigInteger, nullable=False, server_default="1"),
    UniqueConstraint("tenant", "slug"),
)

deployments = _resource(
    "deployments",
    Column("agent_definition_id", String, nullable=False),
    Column("description", Text),
    Column("environment", String, nullable=False),
    Column("status", String, nullable=False),
    Column("config", JSON, nullable=False),
    Column("project_context", JSON, nullable=False),
    Column("blueprint_id", String),
    Column("spec_md_path", Text),
    Column("failure", Text),
    Column("probed_at", Instant),
    Column("pinned", JSON),
    Column("model_provider_id", String),
    Column("probing_owner", String),
    Column("probing_until", Instant),
)
"""`probing_owner` is who probes it until `probing_until`, by the database's clock; no part of its record."""
Index(None, deployments.c.status, deployments.c.environment)

TABLES = {
    AgentClass.kind: agent_classes,
    ModelProvider.kind: model_providers,
    SystemPrompt.kind: system_prompts,
    ToolRecord.kind: tool_records,
    AgentDefinition.kind: agent_definitions,
    Deployment.kind: deployments,
}
for _table in TABLES.values():
    Index(None, _table.c.tenant, _table.c.number, _table.c.id)

control_versions = Table(
    "control_versions",
    metadata,
    Column("tenant", String, primary_key=True),
    Column("version", BigInteger, nullable=False),
)
"""One row each tenant: whoever changes something takes it first, so changes happen one after the other."""

control_changes = Table(
    "control_changes",
    metadata,
    Column("tenant", String, primary_key=True),
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("place", Integer, primary_key=True, autoincrement=False),
    Column("at", Instant, nullable=False),
    Column("who", String, nullable=False),
    Column("action", String, nullable=False),
    Column("kind", String, nullable=False),
    Column("resource_id", String, nullable=False),
    Column("before", JSON),
    Column("after", JSON),
)
Index(None, control_changes.c.tenant, control_changes.c.resource_id)

control_requests = Table(
    "control_requests",
    metadata,
    Column("tenant", String, primary_key=True),
    Column("key", String, primary_key=True),
    Column("fingerprint", String, nullable=False),
    Column("status", Integer, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("at", Instant, nullable=False),
)
Index(None, control_requests.c.at)
