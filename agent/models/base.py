"""
The port to a language model that chats, calls tools and streams.

Brains see these values; adapters translate them to a wire. Nothing here knows a vendor.
"""

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from core.resilience.deadline import Deadline


@dataclass(frozen=True, slots=True)
class ModelToolCall:
    """`arguments` is the raw text the model wrote: it may not be JSON."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelMessage:
    role: Literal["system", "user", "assistant", "tool"]
    content: str = ""
    tool_calls: tuple[ModelToolCall, ...] = ()
    tool_call_id: str | None = None


@dataclass(frozen=True, slots=True)
class ToolSpec:
    name: str
    description: str
    parameters: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class TextDelta:
    text: str


@dataclass(frozen=True, slots=True)
class AnswerRestarted:
    """Forget this answer's deltas so far: the model broke off, and another one begins the answer anew."""


@dataclass(frozen=True, slots=True)
class ModelFinished:
    """The last event of a whole answer; a stream that breaks off raises instead. `model` is who wrote it."""

    reason: Literal["stop", "tool_calls", "length", "content_filter"]
    tool_calls: tuple[ModelToolCall, ...] = ()
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    model: str | None = None


ModelEvent = TextDelta | AnswerRestarted | ModelFinished


class ChatModel(Protocol):
    name: str

    def stream(
        self, messages: Sequence[ModelMessage], tools: Sequence[ToolSpec], *, deadline: Deadline
    ) -> AsyncGenerator[ModelEvent, None]:
        """
        One answer of the model, as it comes. Whoever stops reading early closes the generator.

        Raises:
            RateLimited, DependencyError: with `dependency="model"`; also after deltas were delivered.
        """
        ...
