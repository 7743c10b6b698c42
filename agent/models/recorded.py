"""
A model whose every call is recorded with the turn that it is for: what it was sent, and what it gave.
"""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any

from agent.models.base import (
    AnswerRestarted,
    ChatModel,
    ModelEvent,
    ModelFinished,
    ModelMessage,
    ReplyShape,
    TextDelta,
    ToolSpec,
)
from core.errors import CarelineError
from core.explanation import is_recorded, record, used
from core.resilience.deadline import Deadline


class RecordingModel:
    """Implements `agent.models.base.ChatModel` around another; outside of a turn that is recorded, it is that one."""

    def __init__(self, model: ChatModel) -> None:
        self._model = model
        self.name = model.name

    async def stream(
        self,
        messages: Sequence[ModelMessage],
        tools: Sequence[ToolSpec],
        *,
        deadline: Deadline,
        most_tokens: int | None = None,
        shape: ReplyShape | None = None,
    ) -> AsyncGenerator[ModelEvent, None]:
        stream = self._model.stream(messages, tools, deadline=deadline, most_tokens=most_tokens, shape=shape)
        said: list[str] = []
        prompt = [_plain(message) for message in messages] if is_recorded() else []
        async with aclosing(stream) as events:
            try:
                async for event in events:
                    match event:
                        case TextDelta(text):
                            said.append(text)
                        case AnswerRestarted():
                            said.clear()
                        case ModelFinished():
                            _record(event.model or self.name, prompt, "".join(said), event)
                    yield event
            except CarelineError as exc:
                record(
                    "model", model=self.name, prompt=prompt, error_type=exc.error_type.value, status="failed"
                )
                raise


def _record(model: str, prompt: Sequence[dict[str, Any]], text: str, finished: ModelFinished) -> None:
    used("model", model)
    record(
        "model",
        model=model,
        prompt=prompt,
        completion={
            "text": text,
            "tool_calls": [
                {"id": call.id, "name": call.name, "arguments": call.arguments}
                for call in finished.tool_calls
            ],
            "reason": finished.reason,
            "prompt_tokens": finished.prompt_tokens,
            "completion_tokens": finished.completion_tokens,
        },
        status="succeeded",
    )


def _plain(message: ModelMessage) -> dict[str, Any]:
    """As chat models are sent it."""
    plain: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.tool_calls:
        plain["tool_calls"] = [
            {"id": call.id, "name": call.name, "arguments": call.arguments} for call in message.tool_calls
        ]
    if message.tool_call_id is not None:
        plain["tool_call_id"] = message.tool_call_id
    return plain
