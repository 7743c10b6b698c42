"""
What the control plane keeps: classes, providers, prompts, tools, definitions, deployments, and who changed what.

The field names are those of the wire (`/api/v1`); the defaults are the wire's, too, and stand with its bodies.
"""

from datetime import datetime
from enum import StrEnum
from typing import Any, ClassVar
from uuid import UUID

import msgspec


class PublicationStatus(StrEnum):
    DRAFT = "draft"
    PUBLISHED = "published"
    DEPRECATED = "deprecated"


class ExecutionMode(StrEnum):
    STATEFUL = "stateful"
    EPHEMERAL = "ephemeral"


class DeploymentStatus(StrEnum):
    SPAWNING = "spawning"
    ACTIVE = "active"
    COMPLETED = "completed"
    FAILED = "failed"


class ContentStorage(StrEnum):
    INLINE = "inline"
    S3 = "s3"


class RiskLevel(StrEnum):
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"


class Resource(msgspec.Struct, frozen=True, kw_only=True):
    """`kind` is the last part of its path; `references` are the fields that name other resources, with their kinds."""

    kind: ClassVar[str]
    references: ClassVar[dict[str, str]] = {}

    id: UUID
    name: str
    created_at: datetime
    updated_at: datetime


class AgentClass(Resource, frozen=True, kw_only=True):
    kind: ClassVar[str] = "agent-classes"

    description: str | None = None


class ModelProvider(Resource, frozen=True, kw_only=True):
    """Secrets in `config` are sealed (`agent.control.sealing`), or name a variable of the environment."""

    kind: ClassVar[str] = "model-providers"

    api_base_url: str | None = None
    description: str | None = None
    config: dict[str, Any] = {}


class SystemPrompt(Resource, frozen=True, kw_only=True):
    kind: ClassVar[str] = "system-prompts"
    references: ClassVar[dict[str, str]] = {"agent_class_id": AgentClass.kind}

    content: str
    description: str | None = None
    status: PublicationStatus
    content_storage_type: ContentStorage
    meta: dict[str, Any] | None = None
    agent_class_id: UUID | None = None


class ToolRecord(Resource, frozen=True, kw_only=True):
    kind: ClassVar[str] = "tools"

    json_schema: dict[str, Any]
    description: str | None = None
    safety_policy: str | None = None
    risk_level: RiskLevel


class AgentDefinition(Resource, frozen=True, kw_only=True):
    """`slug` is made from the first name and stays; `version` counts what it has been, from 1."""

    kind: ClassVar[str] = "agent-definitions"
    references: ClassVar[dict[str, str]] = {
        "agent_class_id": AgentClass.kind,
        "system_prompt_id": SystemPrompt.kind,
        "model_provider_id": ModelProvider.kind,
        "tool_ids": ToolRecord.kind,
    }

    agent_class_id: UUID
    slug: str
    description: str | None = None
    status: PublicationStatus
    system_prompt_id: UUID | None = None
    structured_output_id: UUID | None = None
    model_provider_id: UUID | None = None
    model_name: str | None = None
    execution_mode: ExecutionMode
    config: dict[str, Any] = {}
    allow_outbound_a2a: bool = False
    tool_ids: tuple[UUID, ...] = ()
    version: int = 1


class PinnedAgent(msgspec.Struct, frozen=True, kw_only=True):
    """
    What a deployment serves: a definition as it was, with the text of its prompt and the names of its tools. `tools` None: all.

    `is_prompt_elsewhere`: the prompt's content only says where the text lies.
    """

    slug: str
    version: int
    system_prompt: str | None = None
    is_prompt_elsewhere: bool = False
    tools: tuple[str, ...] | None = None
    model_name: str | None = None
    config: dict[str, Any] = {}


class Deployment(Resource, frozen=True, kw_only=True):
    """
    `failure` says why it failed, for people; `probed_at` is when its probes passed last. `pinned` and `model_provider_id` are
    the definition's as it was when it began to spawn; an older version pinned nothing.
    """

    kind: ClassVar[str] = "deployments"
    references: ClassVar[dict[str, str]] = {
        "agent_definition_id": AgentDefinition.kind,
        "model_provider_id": ModelProvider.kind,
    }

    agent_definition_id: UUID
    description: str | None = None
    environment: str
    status: DeploymentStatus
    config: dict[str, Any] = {}
    project_context: dict[str, Any] = {}
    blueprint_id: UUID | None = None
    spec_md_path: str | None = None
    failure: str | None = None
    probed_at: datetime | None = None
    pinned: PinnedAgent | None = None
    model_provider_id: UUID | None = None

    @property
    def definition_version(self) -> int | None:
        return self.pinned.version if self.pinned is not None else None


KINDS: dict[str, type[Resource]] = {
    each.kind: each
    for each in (AgentClass, ModelProvider, SystemPrompt, ToolRecord, AgentDefinition, Deployment)
}


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the audit; `before` is null for a creation, `after` for a deletion. Secrets are withheld."""

    number: int
    at: datetime
    who: str
    action: str
    kind: str
    resource_id: UUID
    before: dict[str, Any] | None
    after: dict[str, Any] | None


class Remembered(msgspec.Struct, frozen=True, kw_only=True):
    """What a request was answered, for its repeats; `fingerprint` tells one body from another."""

    fingerprint: str
    status: int
    body: bytes
    at: datetime
