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
    """`has_effect` is for brains; models are not told of it."""

    name: str
    description: str
    parameters: Mapping[str, Any]
    has_effect: bool = False


@dataclass(frozen=True, slots=True)
class ReplyShape:
    """The JSON object that an answer has to be, in the part of JSON Schema that is enforced; see `structured`."""

    name: str
    schema: Mapping[str, Any]


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
        self,
        messages: Sequence[ModelMessage],
        tools: Sequence[ToolSpec],
        *,
        deadline: Deadline,
        most_tokens: int | None = None,
        shape: ReplyShape | None = None,
    ) -> AsyncGenerator[ModelEvent, None]:
        """
        One answer of the model, as it comes; no longer than `most_tokens`, with the reason `length` where that cut it. Whoever
        stops reading early closes the generator. `shape` is asked of the model; whether its text keeps to it, the reader checks.

        Raises:
            RateLimited, DependencyError: with `dependency="model"`; also after deltas were delivered.
        """
        ...
