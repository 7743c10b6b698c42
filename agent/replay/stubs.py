"""
Give back what was recorded, in place of tools and of the language model, and say so where something is asked for that was not.

A call is matched by tool and arguments, in its own turn and then in the whole conversation, else with the turn's next unused
call of the tool. A model's call is matched with the most similar prompt of its turn, then of the conversation; the earliest of
equals.
"""

import copy
from collections.abc import AsyncGenerator, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from agent.models.base import (
    ModelEvent,
    ModelFinished,
    ModelMessage,
    ModelToolCall,
    ReplyShape,
    TextDelta,
    ToolSpec,
)
from agent.replay.differences import word_overlap
from agent.replay.log import RecordedConversation, RecordedMessage
from agent.replay.rows import Finding
from core.clock import Clock
from core.errors import (
    DependencyRejectedInput,
    DependencyUnavailable,
    ErrorType,
    ExternalApiFailed,
    RateLimited,
    ToolExecutionFailed,
)
from core.messages import ActionStatus
from core.records import Passage
from core.resilience.deadline import Deadline
from core.resilience.guard import Guard
from tools.protocol import AnyTool, EffectTool, ToolCall, ToolResult
from tools.sentences import result_sentence

UNRECORDED = "unrecorded_call"
_LEAST_SIMILAR = 0.3
"""Below it a recorded answer was given to another question."""


@dataclass(slots=True)
class _Recorded:
    turn: int
    message: RecordedMessage
    is_used: bool = False


@dataclass(slots=True)
class Recording:
    """The conversation that is being replayed, and how much of it has been given back. `findings` are the current turn's."""

    findings: list[Finding] = field(default_factory=list)
    _turn: int = 0
    _tools: list[_Recorded] = field(default_factory=list)
    _models: list[_Recorded] = field(default_factory=list)

    def begin(self, conversation: RecordedConversation) -> None:
        self._turn = 0
        self._tools, self._models = [], []
        turn = 0
        for message in conversation.messages:
            if message.role == "customer":
                turn += 1
            elif message.role == "tool":
                self._tools.append(_Recorded(turn, message))
            elif message.role == "model":
                self._models.append(_Recorded(turn, message))

    def turn(self, number: int) -> None:
        self._turn = number
        self.findings.clear()

    def tool_call(self, tool: str, arguments: msgspec.Struct) -> RecordedMessage | None:
        asked = _plain(msgspec.to_builtins(arguments))
        named = [each for each in self._tools if each.message.tool == tool and not each.is_used]
        here = [each for each in named if each.turn == self._turn]
        alike = [each for each in (*here, *named) if _plain(each.message.args or {}) == asked]
        return self._given(alike or here, f"{tool} {msgspec.json.encode(asked).decode()}")

    def model_call(self, messages: Sequence[ModelMessage]) -> RecordedMessage | None:
        unused = [each for each in self._models if not each.is_used]
        asked = "\n".join(message.content for message in messages)
        for candidates in ([each for each in unused if each.turn == self._turn], unused):
            likeness = {id(each): word_overlap(asked, _prompt(each.message)) for each in candidates}
            close = [each for each in candidates if likeness[id(each)] >= _LEAST_SIMILAR]
            if close:
                best = max(close, key=lambda each: likeness[id(each)])
                return self._given([best], "")
        return self._given([], f"model: {messages[-1].content[:80] if messages else ''}")

    def _given(self, candidates: Sequence[_Recorded], what: str) -> RecordedMessage | None:
        if not candidates:
            self.findings.append(Finding(UNRECORDED, what))
            return None
        candidates[0].is_used = True
        return candidates[0].message


def _plain(arguments: Any) -> Any:
    """Without what was left to its default: recorded arguments are those that were given."""
    return {name: value for name, value in arguments.items() if value not in (None, False)}


def _prompt(message: RecordedMessage) -> str:
    return "\n".join(str(each.get("content") or "") for each in message.prompt)


def recorded_tool(tool: AnyTool, recording: Recording) -> AnyTool:
    """The tool as it is, but for its last step: what is validated, authorised, planned and put off is so still."""
    stand_in = copy.copy(tool)
    found: dict[
        str, RecordedMessage | None
    ] = {}  # a guard may repeat a call, which uses up one recorded call all the same

    async def given(arguments: msgspec.Struct, call: ToolCall) -> ToolResult:
        if call.call_id not in found:
            found[call.call_id] = recording.tool_call(tool.name, arguments)
        message = found[call.call_id]
        if message is None:
            raise ToolExecutionFailed("this call was not recorded", reason=UNRECORDED)
        return _result(message, tool.dependency or tool.name, call)

    if isinstance(tool, EffectTool):
        asked: dict[str, msgspec.Struct] = {}

        async def plan(arguments: msgspec.Struct, call: ToolCall) -> Any:
            asked[call.key] = arguments
            return await tool.plan(arguments, call)

        async def carry_out(intent: msgspec.Struct, call: ToolCall) -> ToolResult:
            return await given(asked.get(call.key, intent), call)

        setattr(stand_in, "plan", plan)  # noqa: B010 - a copy of ours, and of this tool alone
        setattr(stand_in, "carry_out", carry_out)  # noqa: B010
    else:
        setattr(stand_in, "run", given)  # noqa: B010
    return stand_in


def _result(message: RecordedMessage, dependency: str, call: ToolCall) -> ToolResult:
    """
    Raises:
        CarelineError: it failed then, and fails alike now.
    """
    status = ActionStatus(message.status) if message.status in set(ActionStatus) else ActionStatus.SUCCEEDED
    if status in (ActionStatus.FAILED, ActionStatus.REFUSED):
        raise _failure(message.error_type, dependency)
    value = message.result if isinstance(message.result, dict) else {"result": message.result}
    passages = tuple(_passages(value))
    if message.tool == "search_knowledge":
        summary = result_sentence("search_found" if passages else "search_empty", call.locale)
    else:
        summary = message.text or str(value.get("summary") or "")
    receipt, reference = value.get("receipt"), value.get("reference")
    return ToolResult(
        value=value,
        summary=summary,
        status=status,
        receipt=receipt if isinstance(receipt, str) else None,
        reference=reference if isinstance(reference, str) else None,
        passages=passages,
        hands_over=message.tool == "handoff",
    )


def _failure(error_type: str | None, dependency: str) -> Exception:
    match error_type:
        case ErrorType.RATE_LIMIT_EXCEEDED:
            return RateLimited("recorded", dependency=dependency)
        case ErrorType.EXTERNAL_API_ERROR:
            return ExternalApiFailed(dependency, "recorded")
        case ErrorType.SERVICE_UNAVAILABLE | ErrorType.TIMEOUT_ERROR | ErrorType.NETWORK_ERROR:
            return DependencyUnavailable(dependency, "recorded")
        case _:
            return ToolExecutionFailed("recorded", reason=error_type)


def _passages(value: dict[str, Any]) -> Iterator[Passage]:
    """With the scores that were recorded; an explanation alone has neither those nor the text."""
    for place, found in enumerate(value.get("passages") or ()):
        whole = {"title": "", "url": None, "heading": "", "text": "", "score": 1.0 / (place + 1)}
        whole |= {name: given for name, given in found.items() if given is not None}
        yield msgspec.convert(whole, Passage)


class RecordedModel:
    """Implements `agent.models.base.ChatModel`, behind the real guard."""

    name = "recorded"

    def __init__(self, recording: Recording, guard: Guard, clock: Clock) -> None:
        self._recording = recording
        self._guard = guard
        self._clock = clock

    async def stream(
        self,
        messages: Sequence[ModelMessage],
        tools: Sequence[ToolSpec],
        *,
        deadline: Deadline,
        most_tokens: int | None = None,
        shape: ReplyShape | None = None,
    ) -> AsyncGenerator[ModelEvent, None]:
        message = self._recording.model_call(messages)

        async def given() -> RecordedMessage:
            if message is None:
                raise DependencyRejectedInput("model", "this call was not recorded", reason=UNRECORDED)
            return message

        given_back = await self._guard.run(given, deadline=deadline)
        completion = given_back.completion or {}
        calls = tuple(
            ModelToolCall(
                str(call.get("id") or f"call_{number}"), str(call["name"]), _raw(call.get("arguments"))
            )
            for number, call in enumerate(completion.get("tool_calls") or ())
        )
        if text := str(completion.get("text") or ""):
            yield TextDelta(text)
        yield ModelFinished("tool_calls" if calls else "stop", calls, model=given_back.model)


def _raw(arguments: Any) -> str:
    return arguments if isinstance(arguments, str) else msgspec.json.encode(arguments or {}).decode()
