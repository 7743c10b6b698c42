"""
What conversations are made of: messages, replies, citations, actions, and the result of a turn.

Stored with msgspec and sent as JSON by `agent.api`; the field names are those of docs/api.md.
"""

from datetime import datetime
from enum import StrEnum
from typing import Any, Literal

import msgspec


class MessageRole(StrEnum):
    CUSTOMER = "customer"
    AGENT = "agent"
    OPERATOR = "operator"
    SYSTEM = "system"


class TurnStatus(StrEnum):
    ACCEPTED = "accepted"
    ANSWERED = "answered"
    NEEDS_CUSTOMER = "needs_customer"
    HANDED_OVER = "handed_over"


class ActionStatus(StrEnum):
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    QUEUED = "queued"
    UNKNOWN = "unknown"
    REFUSED = "refused"


class Durability(StrEnum):
    SQL = "sql"
    REDIS = "redis"


BrainName = Literal["embedded", "llm"]


class Citation(msgspec.Struct, frozen=True):
    """`quote` stands literally in the article's text; `n` is the number used in the reply, from 1."""

    n: int
    article_id: str
    title: str
    url: str | None
    quote: str


class Action(msgspec.Struct, frozen=True):
    """What a tool call came to, as the client sees it. `summary` is customer-safe."""

    call_id: str
    tool: str
    status: ActionStatus
    receipt: str | None = None
    reference: str | None = None
    error_type: str | None = None
    reason: str | None = None
    summary: str = ""


class DegradedPart(msgspec.Struct, frozen=True):
    """A feature that works less well now. `since` is ISO-8601 UTC; `message` is in the customer's language."""

    feature: str
    dependency: str
    since: str
    message: str


class Reply(msgspec.Struct, frozen=True):
    message_id: str
    text: str
    citations: tuple[Citation, ...] = ()
    quick_replies: tuple[str, ...] = ()
    format: Literal["markdown"] = "markdown"


class Timings(msgspec.Struct, frozen=True):
    """Milliseconds."""

    total: float = 0.0
    load: float = 0.0
    brain: float = 0.0
    tools: float = 0.0
    save: float = 0.0


class AnsweringAgent(msgspec.Struct, frozen=True):
    """The deployment that answered, and which version of which definition it serves."""

    deployment_id: str
    definition_id: str
    slug: str
    version: int


class Usage(msgspec.Struct, frozen=True):
    """Tokens that the servers of language models counted for a turn, all of its model answers together."""

    prompt_tokens: int
    completion_tokens: int


class TurnResult(msgspec.Struct, frozen=True):
    """
    The answer of POST /v1/chat. `message_id` is the first customer message that the turn covers; `agent` is None where nothing
    is deployed. `usage` is zero where no language model was asked, None where not every answer was counted.
    """

    conversation_id: str
    turn_id: str
    message_id: str
    status: TurnStatus
    reply: Reply | None = None
    actions: tuple[Action, ...] = ()
    degraded: tuple[DegradedPart, ...] = ()
    brain: BrainName = "embedded"
    model: str | None = None
    durability: Durability = Durability.SQL
    timings_ms: Timings = Timings()
    usage: Usage | None = None
    agent: AnsweringAgent | None = None


class Message(msgspec.Struct, frozen=True):
    """
    One entry of a conversation's append-only log. `seq` counts from 1 without gaps.

    `email` is the sender's, as their credentials gave it with this message: what is opened for it is answered there. No right
    follows from it, and clients are not told it.
    """

    message_id: str
    seq: int
    role: MessageRole
    text: str
    at: datetime
    turn_id: str | None = None
    client_message_id: str | None = None
    citations: tuple[Citation, ...] = ()
    degraded: tuple[DegradedPart, ...] = ()
    metadata: dict[str, Any] | None = None
    email: str | None = None
