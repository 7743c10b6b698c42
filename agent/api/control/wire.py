"""
The bodies of `/api/v1`, named as its clients name them.

In an update, a field that is left out stays; null clears it, and is wrong where there must be a value.
"""

from datetime import datetime
from functools import partial
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from agent.api.bodies import storable, storable_object
from core.control_records import (
    ContentStorage,
    DeploymentStatus,
    ExecutionMode,
    PublicationStatus,
    RiskLevel,
)

OBJECT_BYTES = 256 * 1024
_object = AfterValidator(partial(storable_object, most_bytes=OBJECT_BYTES))

Name = Annotated[str, Field(min_length=1, max_length=255), AfterValidator(storable)]
Text = Annotated[str, Field(max_length=100_000), AfterValidator(storable)]
Object = Annotated[dict[str, Any], _object]
LEFT_OUT: Any = None
"""The default of an update's field that has no null."""


class _Written(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())


class _Read(BaseModel):
    model_config = ConfigDict(from_attributes=True, frozen=True, protected_namespaces=())


class AgentClassCreate(_Written):
    name: Name
    description: Text | None = None


class AgentClassUpdate(_Written):
    name: Name = LEFT_OUT
    description: Text | None = None


class AgentClassRead(_Read):
    id: UUID
    name: str
    description: str | None
    created_at: datetime
    updated_at: datetime


class ModelProviderCreate(_Written):
    name: Name
    api_base_url: Annotated[str, Field(max_length=2000, pattern=r"^https?://")] | None = None
    description: Text | None = None
    config: Object = {}


class ModelProviderUpdate(_Written):
    name: Name = LEFT_OUT
    api_base_url: Annotated[str, Field(max_length=2000, pattern=r"^https?://")] | None = None
    description: Text | None = None
    config: Object = LEFT_OUT


class ModelProviderRead(_Read):
    id: UUID
    name: str
    api_base_url: str | None
    description: str | None
    config: dict[str, Any]
    created_at: datetime
    updated_at: datetime


class ModelProviderVerification(BaseModel):
    status: Literal["ok", "failed"]
    message: str


class ModelRead(BaseModel):
    id: str
    name: str


class SystemPromptCreate(_Written):
    name: Name
    content: Text
    description: Text | None = None
    status: PublicationStatus = PublicationStatus.DRAFT
    content_storage_type: ContentStorage = ContentStorage.INLINE
    meta: Object | None = None
    agent_class_id: UUID | None = None


class SystemPromptUpdate(_Written):
    name: Name = LEFT_OUT
    content: Text = LEFT_OUT
    description: Text | None = None
    status: PublicationStatus = LEFT_OUT
    content_storage_type: ContentStorage = LEFT_OUT
    meta: Object | None = None


class SystemPromptRead(_Read):
    id: UUID
    name: str
    content: str
    description: str | None
    status: PublicationStatus
    content_storage_type: ContentStorage
    meta: dict[str, Any] | None
    agent_class_id: UUID | None
    created_at: datetime
    updated_at: datetime


class ToolCreate(_Written):
    name: Name
    json_schema: Object
    description: Text | None = None
    safety_policy: Text | None = None
    risk_level: RiskLevel = RiskLevel.LOW


class ToolUpdate(_Written):
    json_schema: Object = LEFT_OUT
    description: Text | None = None
    safety_policy: Text | None = None
    risk_level: RiskLevel = LEFT_OUT


class ToolRead(_Read):
    id: UUID
    name: str
    json_schema: dict[str, Any]
    description: str | None
    safety_policy: str | None
    risk_level: RiskLevel


class ToolSyncRequest(_Written):
    tools: Annotated[list[ToolCreate], Field(min_length=1, max_length=1000)]


class ToolDiscoverRequest(_Written):
    source: Annotated[str, Field(min_length=1, max_length=255), AfterValidator(storable)]


class AgentDefinitionCreate(_Written):
    agent_class_id: UUID
    name: Name
    description: Text | None = None
    system_prompt_id: UUID | None = None
    structured_output_id: UUID | None = None
    model_provider_id: UUID | None = None
    model_name: Annotated[str, Field(max_length=255), AfterValidator(storable)] | None = None
    execution_mode: ExecutionMode = ExecutionMode.EPHEMERAL
    config: Object = {}
    allow_outbound_a2a: bool = False
    tool_ids: Annotated[list[UUID], Field(max_length=1000)] = []


class AgentDefinitionUpdate(_Written):
    name: Name = LEFT_OUT
    description: Text | None = None
    system_prompt_id: UUID | None = None
    structured_output_id: UUID | None = None
    model_provider_id: UUID | None = None
    model_name: Annotated[str, Field(max_length=255), AfterValidator(storable)] | None = None
    execution_mode: ExecutionMode = LEFT_OUT
    config: Object = LEFT_OUT
    allow_outbound_a2a: bool = LEFT_OUT
    status: PublicationStatus = LEFT_OUT


class AgentDefinitionTools(_Written):
    tool_ids: Annotated[list[UUID], Field(max_length=1000)]


class AgentDefinitionRead(_Read):
    id: UUID
    agent_class_id: UUID
    name: str
    slug: str
    description: str | None
    status: PublicationStatus
    system_prompt_id: UUID | None
    structured_output_id: UUID | None
    model_provider_id: UUID | None
    model_name: str | None
    execution_mode: ExecutionMode
    config: dict[str, Any]
    allow_outbound_a2a: bool
    tool_ids: list[UUID]
    version: int
    created_at: datetime
    updated_at: datetime


class AgentDefinitionConfig(BaseModel):
    """All that an agent needs to run, in one answer. `system_prompt` is the prompt's text."""

    model_config = ConfigDict(protected_namespaces=())

    id: UUID
    name: str
    slug: str
    description: str | None
    status: PublicationStatus
    execution_mode: ExecutionMode
    model_name: str | None
    config: dict[str, Any]
    version: int
    system_prompt: str | None
    structured_output_schema: dict[str, Any] | None
    tools: list[ToolRead]


class DeploymentCreate(_Written):
    agent_definition_id: UUID
    name: Name
    description: Text | None = None
    blueprint_id: UUID | None = None
    environment: Annotated[str, Field(min_length=1, max_length=64), AfterValidator(storable)] = "production"
    config: Object = {}
    project_context: Object = {}
    spec_md_path: Annotated[str, Field(max_length=2000), AfterValidator(storable)] | None = None


class DeploymentUpdate(_Written):
    name: Name = LEFT_OUT
    description: Text | None = None
    environment: Annotated[str, Field(min_length=1, max_length=64), AfterValidator(storable)] = LEFT_OUT
    status: DeploymentStatus = LEFT_OUT
    config: Object = LEFT_OUT
    project_context: Object = LEFT_OUT
    spec_md_path: Annotated[str, Field(max_length=2000), AfterValidator(storable)] | None = None


class DeploymentRead(_Read):
    """`failure` says why its probes failed, `definition_version` which version of the definition it serves."""

    id: UUID
    agent_definition_id: UUID
    name: str
    description: str | None
    blueprint_id: UUID | None
    environment: str
    status: DeploymentStatus
    config: dict[str, Any]
    project_context: dict[str, Any]
    spec_md_path: str | None
    failure: str | None
    definition_version: int | None
    probed_at: datetime | None
    created_at: datetime
    updated_at: datetime


class ChangeRead(_Read):
    number: int
    at: datetime
    who: str
    action: str
    kind: str
    resource_id: UUID
    before: dict[str, Any] | None
    after: dict[str, Any] | None


class PlaneHealth(BaseModel):
    status: Literal["healthy", "degraded"]
    version: str
    dependencies: dict[str, str]


class LogLine(BaseModel):
    """One event of this process; `fields` are what the log says beside it."""

    timestamp: str
    level: str
    message: str
    deployment_id: str | None = None
    fields: dict[str, Any] = {}


class FieldDetail(BaseModel):
    loc: list[str | int]
    msg: str
    type: str


class ErrorDetail(BaseModel):
    """Every error but 422."""

    detail: str


class ValidationDetail(BaseModel):
    """Every 422."""

    detail: list[FieldDetail]
