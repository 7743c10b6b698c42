"""
What is sent and what is read: times are ISO 8601 in UTC, ids are UUIDs. Replies may hold more than is named here.

Left out of a `…Create`, a field has the service's default; left out of an `…Update`, it stays, and None clears it.
"""

from typing import Any, Literal, NotRequired, TypedDict

Publication = Literal["draft", "published", "deprecated"]


class Resource(TypedDict):
    id: str
    name: str
    description: str | None


class AgentClass(Resource):
    created_at: str
    updated_at: str


class AgentClassCreate(TypedDict):
    name: str
    description: NotRequired[str | None]


class AgentClassUpdate(TypedDict, total=False):
    name: str
    description: str | None


class ModelProvider(Resource):
    """Secrets in `config` read `[withheld]`; sent back like that, they stay as they are."""

    api_base_url: str | None
    config: dict[str, Any]
    created_at: str
    updated_at: str


class ModelProviderCreate(TypedDict):
    name: str
    api_base_url: NotRequired[str | None]
    description: NotRequired[str | None]
    config: NotRequired[dict[str, Any]]


class ModelProviderUpdate(TypedDict, total=False):
    name: str
    api_base_url: str | None
    description: str | None
    config: dict[str, Any]


class SystemPrompt(Resource):
    content: str
    status: Publication
    content_storage_type: Literal["inline", "s3"]
    meta: dict[str, Any] | None
    agent_class_id: str | None
    created_at: str
    updated_at: str


class SystemPromptCreate(TypedDict):
    name: str
    content: str
    description: NotRequired[str | None]
    status: NotRequired[Publication]
    content_storage_type: NotRequired[Literal["inline", "s3"]]
    meta: NotRequired[dict[str, Any] | None]
    agent_class_id: NotRequired[str | None]


class SystemPromptUpdate(TypedDict, total=False):
    name: str
    content: str
    description: str | None
    status: Publication
    content_storage_type: Literal["inline", "s3"]
    meta: dict[str, Any] | None


class Tool(Resource):
    json_schema: dict[str, Any]
    safety_policy: str | None
    risk_level: Literal["low", "medium", "high"]


class ToolCreate(TypedDict):
    name: str
    json_schema: dict[str, Any]
    description: NotRequired[str | None]
    safety_policy: NotRequired[str | None]
    risk_level: NotRequired[Literal["low", "medium", "high"]]


class ToolUpdate(TypedDict, total=False):
    json_schema: dict[str, Any]
    description: str | None
    safety_policy: str | None
    risk_level: Literal["low", "medium", "high"]


class AgentDefinition(Resource):
    agent_class_id: str
    slug: str
    status: Publication
    execution_mode: Literal["stateful", "ephemeral"]
    config: dict[str, Any]
    allow_outbound_a2a: bool
    system_prompt_id: str | None
    structured_output_id: str | None
    model_provider_id: str | None
    model_name: str | None
    tool_ids: list[str]
    version: int
    created_at: str
    updated_at: str


class AgentDefinitionCreate(TypedDict):
    name: str
    agent_class_id: str
    description: NotRequired[str | None]
    system_prompt_id: NotRequired[str | None]
    structured_output_id: NotRequired[str | None]
    model_provider_id: NotRequired[str | None]
    model_name: NotRequired[str | None]
    execution_mode: NotRequired[Literal["stateful", "ephemeral"]]
    config: NotRequired[dict[str, Any]]
    allow_outbound_a2a: NotRequired[bool]
    tool_ids: NotRequired[list[str]]


class AgentDefinitionUpdate(TypedDict, total=False):
    name: str
    description: str | None
    status: Publication
    system_prompt_id: str | None
    structured_output_id: str | None
    model_provider_id: str | None
    model_name: str | None
    execution_mode: Literal["stateful", "ephemeral"]
    config: dict[str, Any]
    allow_outbound_a2a: bool


class Deployment(Resource):
    agent_definition_id: str
    environment: str
    status: Literal["spawning", "active", "completed", "failed"]
    config: dict[str, Any]
    project_context: dict[str, Any]
    blueprint_id: str | None
    spec_md_path: str | None
    failure: str | None
    definition_version: int | None
    probed_at: str | None
    created_at: str
    updated_at: str


class DeploymentCreate(TypedDict):
    name: str
    agent_definition_id: str
    description: NotRequired[str | None]
    environment: NotRequired[str]
    config: NotRequired[dict[str, Any]]
    project_context: NotRequired[dict[str, Any]]
    blueprint_id: NotRequired[str | None]
    spec_md_path: NotRequired[str | None]


class DeploymentUpdate(TypedDict, total=False):
    name: str
    description: str | None
    environment: str
    status: Literal["spawning", "completed"]
    config: dict[str, Any]
    project_context: dict[str, Any]
    spec_md_path: str | None


class DefinitionConfig(TypedDict):
    """Everything that an agent runs with: `system_prompt` is the text, `tools` are whole."""

    id: str
    name: str
    slug: str
    version: int
    description: str | None
    status: Publication
    execution_mode: Literal["stateful", "ephemeral"]
    model_name: str | None
    config: dict[str, Any]
    system_prompt: str | None
    structured_output_schema: dict[str, Any] | None
    tools: list[Tool]


class Verification(TypedDict):
    status: Literal["ok", "failed"]
    message: str


class Model(TypedDict):
    id: str
    name: str


class Change(TypedDict):
    """Of the audit: who changed what and when. `before` is None of what was made, `after` of what was deleted."""

    number: int
    at: str
    who: str
    action: str
    kind: str
    resource_id: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None


class Citation(TypedDict):
    """`quote` stands literally in the article."""

    n: int
    article_id: str
    title: str
    url: str | None
    quote: str


class Reply(TypedDict):
    message_id: str
    text: str
    format: str
    citations: list[Citation]
    quick_replies: list[str]


class Answer(TypedDict):
    """What a turn came to. `reply` is None while `status` is `accepted`."""

    conversation_id: str
    turn_id: str
    message_id: str
    status: Literal["answered", "needs_customer", "handed_over", "accepted"]
    reply: NotRequired[Reply | None]
    actions: NotRequired[list[dict[str, Any]]]
    degraded: NotRequired[list[dict[str, Any]]]
    brain: NotRequired[Literal["embedded", "llm"] | None]
    model: NotRequired[str | None]
    durability: Literal["sql", "redis"]
    timings_ms: NotRequired[dict[str, float]]


class Message(TypedDict):
    message_id: str
    seq: int
    role: Literal["customer", "agent", "operator", "system"]
    text: str
    at: str
    turn_id: NotRequired[str | None]
    client_message_id: NotRequired[str | None]
    citations: NotRequired[list[Citation]]
    degraded: NotRequired[list[dict[str, Any]]]


class Conversation(TypedDict):
    conversation_id: str
    customer_id: str
    status: str
    channel: str
    locale: str | None
    created_at: str
    updated_at: str
    messages: int
    is_answering: bool
