"""
Talk to models that have no OpenAI-compatible server (Anthropic, Google, Bedrock, …) through pydantic-ai, an extra.

The library is imported when such a model is opened, and knows the providers; keys are read from the variables that it names.
Each answer is read in a task of its own, because the library's streams must end in the task that began them.
"""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from agent.models.base import (
    ModelEvent,
    ModelFinished,
    ModelMessage,
    ModelToolCall,
    ReplyShape,
    TextDelta,
    ToolSpec,
)
from core.clock import Clock
from core.errors import (
    CarelineError,
    DependencyError,
    DependencyForbidsUs,
    DependencyRefusedUs,
    DependencyTimeout,
    DependencyUnavailable,
    ExternalApiFailed,
    NetworkFailed,
    RateLimited,
    ToolMisconfigured,
)
from core.resilience.deadline import Deadline
from core.resilience.guard import Guard

if TYPE_CHECKING:
    from pydantic_ai.messages import ModelMessage as LibraryMessage
    from pydantic_ai.messages import ModelResponse
    from pydantic_ai.models import Model, ModelRequestParameters
    from pydantic_ai.tools import ToolDefinition

_DEPENDENCY = "model"
_REASONS = {"length": "length", "content_filter": "content_filter"}


class LibraryModel:
    """
    `model` is `PROVIDER:NAME`, as the library writes it. As in `agent.models.openai`, the guard covers a request until its first
    event, and a stream that breaks off later is reported to the guard's breaker.
    """

    def __init__(
        self,
        model: "str | Model",
        *,
        guard: Guard,
        clock: Clock,
        silence_seconds: float,
        first_token_seconds: float,
    ) -> None:
        """
        Raises:
            ToolMisconfigured: the extra or the provider's own package is missing, or the name is not known.
        """
        self._model = _opened(model)
        self.name = model if isinstance(model, str) else model.model_name
        self._guard = guard
        self._clock = clock
        self._silence_seconds = silence_seconds
        self._first_token_seconds = first_token_seconds

    async def stream(
        self,
        messages: Sequence[ModelMessage],
        tools: Sequence[ToolSpec],
        *,
        deadline: Deadline,
        most_tokens: int | None = None,
        shape: ReplyShape | None = None,
    ) -> AsyncGenerator[ModelEvent, None]:
        async def open_answer() -> _Answer:
            answer = _Answer(self._model, messages, tools, most_tokens, shape)
            try:
                await answer.wait_for_first(self._first_token_seconds)
            except BaseException:
                await answer.close()
                raise
            return answer

        opening = Deadline(self._clock, min(self._first_token_seconds, deadline.remaining()))
        answer = await self._guard.run(open_answer, deadline=opening)
        try:
            while (event := await answer.next(min(self._silence_seconds, deadline.remaining()))) is not None:
                if event:
                    yield TextDelta(event)
        except CarelineError:
            if not deadline.has_passed:
                with suppress(DependencyUnavailable):
                    self._guard.breaker.acquire().failed()
            raise
        finally:
            await answer.close()
        yield answer.finished(self.name)

    async def probe(self) -> None:
        """
        No provider is asked for nothing: the breaker says whether the next turn may try.

        Raises:
            DependencyUnavailable: not yet.
        """
        if not self._guard.breaker.may_be_tried:
            raise DependencyUnavailable(_DEPENDENCY, "model: its breaker is open")


class _Answer:
    """One request, read by a task of its own."""

    def __init__(
        self,
        model: "Model",
        messages: Sequence[ModelMessage],
        tools: Sequence[ToolSpec],
        most_tokens: int | None,
        shape: ReplyShape | None,
    ) -> None:
        self._told: asyncio.Queue[str | Exception | None] = asyncio.Queue()
        self._first: list[str | None] = []
        self._response: ModelResponse | None = None
        self._task = asyncio.create_task(self._read(model, messages, tools, most_tokens, shape))

    async def wait_for_first(self, within_seconds: float) -> None:
        self._first.append(await self._next(within_seconds))

    async def next(self, within_seconds: float) -> str | None:
        """A piece of text, "" for a sign of life, None at the end."""
        return self._first.pop() if self._first else await self._next(within_seconds)

    async def _next(self, within_seconds: float) -> str | None:
        try:
            told = await asyncio.wait_for(self._told.get(), max(0.0, within_seconds))
        except TimeoutError as exc:
            raise DependencyTimeout(
                _DEPENDENCY, f"model: silent for {within_seconds:.3g} s", reason="silence"
            ) from exc
        if isinstance(told, Exception):
            raise _translated(told) from told
        return told

    async def close(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    def finished(self, model: str) -> ModelFinished:
        from pydantic_ai.messages import ToolCallPart

        response = self._response
        if response is None:
            raise NetworkFailed(_DEPENDENCY, "model: the stream ended without an end", reason="cut_off")
        calls = tuple(
            ModelToolCall(part.tool_call_id, part.tool_name, part.args_as_json_str())
            for part in response.parts
            if isinstance(part, ToolCallPart)
        )
        reason = "tool_calls" if calls else _REASONS.get(response.finish_reason or "", "stop")
        return ModelFinished(
            reason,  # type: ignore[arg-type]  # one of the four
            calls,
            prompt_tokens=response.usage.input_tokens or None,
            completion_tokens=response.usage.output_tokens or None,
            model=model,
        )

    async def _read(
        self,
        model: "Model",
        messages: Sequence[ModelMessage],
        tools: Sequence[ToolSpec],
        most_tokens: int | None,
        shape: ReplyShape | None,
    ) -> None:
        from pydantic_ai.direct import model_request_stream
        from pydantic_ai.settings import ModelSettings
        from pydantic_ai.tools import ToolDefinition

        definitions = [
            ToolDefinition(
                name=tool.name, description=tool.description, parameters_json_schema=dict(tool.parameters)
            )
            for tool in tools
        ]
        settings = ModelSettings(max_tokens=most_tokens) if most_tokens is not None else None
        try:
            async with model_request_stream(
                model,
                _history(messages),
                model_settings=settings,
                model_request_parameters=_parameters(model, definitions, shape),
                instrument=False,
            ) as stream:
                async for event in stream:
                    self._told.put_nowait(_text(event))
                self._response = stream.get()
            self._told.put_nowait(None)
        except Exception as exc:  # whatever the library or a provider raises reaches who waits, in our words
            self._told.put_nowait(exc)


def _opened(model: "str | Model") -> "Model":
    try:
        from pydantic_ai.exceptions import UserError
        from pydantic_ai.models import infer_model
    except ImportError as exc:
        raise ToolMisconfigured(
            "models of the library pydantic-ai need the extra: pip install 'careline[pydantic-ai]'"
        ) from exc
    try:
        return infer_model(model)
    except (UserError, ImportError, ValueError) as exc:
        raise ToolMisconfigured(f"CARELINE_MODEL {model!r} cannot be opened: {exc}") from exc


def _parameters(
    model: "Model", tools: "list[ToolDefinition]", shape: ReplyShape | None
) -> "ModelRequestParameters":
    """A provider that cannot be held to a schema is told it by the library, in its own words."""
    from pydantic_ai.models import ModelRequestParameters
    from pydantic_ai.output import OutputObjectDefinition

    if shape is None:
        return ModelRequestParameters(function_tools=tools)
    return ModelRequestParameters(
        function_tools=tools,
        output_mode="native" if model.profile.get("supports_json_schema_output", False) else "prompted",
        output_object=OutputObjectDefinition(json_schema=dict(shape.schema), name=shape.name, strict=True),
    )


def _history(messages: Sequence[ModelMessage]) -> "list[LibraryMessage]":
    from pydantic_ai.messages import (
        ModelRequest,
        ModelResponse,
        SystemPromptPart,
        TextPart,
        ToolCallPart,
        ToolReturnPart,
        UserPromptPart,
    )

    history: list[LibraryMessage] = []
    names: dict[str, str] = {}
    for message in messages:
        if message.role == "assistant":
            names |= {call.id: call.name for call in message.tool_calls}
            said = [TextPart(message.content)] if message.content else []
            called = [ToolCallPart(call.name, call.arguments, call.id) for call in message.tool_calls]
            history.append(ModelResponse(parts=[*said, *called]))
            continue
        part: SystemPromptPart | UserPromptPart | ToolReturnPart
        if message.role == "system":
            part = SystemPromptPart(message.content)
        elif message.role == "user":
            part = UserPromptPart(message.content)
        else:
            called_as = message.tool_call_id or ""
            part = ToolReturnPart(names.get(called_as, ""), message.content, called_as)
        last = history[-1] if history else None
        if isinstance(last, ModelRequest):
            history[-1] = ModelRequest(parts=[*last.parts, part])
        else:
            history.append(ModelRequest(parts=[part]))
    return history


def _text(event: Any) -> str:
    from pydantic_ai.messages import PartDeltaEvent, PartStartEvent, TextPart, TextPartDelta

    if isinstance(event, PartStartEvent) and isinstance(event.part, TextPart):
        return event.part.content
    if isinstance(event, PartDeltaEvent) and isinstance(event.delta, TextPartDelta):
        return event.delta.content_delta
    return ""


def _translated(exc: Exception) -> CarelineError:
    """The library's text may hold a provider's answer: only the kind of failure is told."""
    from pydantic_ai import exceptions

    said = f"model: {type(exc).__name__}"
    kinds: tuple[tuple[type[Exception], type[DependencyError]], ...] = (
        (exceptions.ModelAuthenticationError, DependencyRefusedUs),
        (exceptions.ModelQuotaExceededError, DependencyForbidsUs),
        (exceptions.ModelTimeoutError, DependencyTimeout),
        (exceptions.ModelConnectionError, NetworkFailed),
        (exceptions.ModelUnavailableError, DependencyUnavailable),
    )
    status = exc.status_code if isinstance(exc, exceptions.ModelHTTPError) else None
    if status == 429 or isinstance(exc, exceptions.ModelRateLimitError):
        return RateLimited(said, dependency=_DEPENDENCY)
    for theirs, ours in kinds:
        if isinstance(exc, theirs):
            return ours(_DEPENDENCY, said)
    if status in (401, 403):
        return DependencyRefusedUs(_DEPENDENCY, said)
    return ExternalApiFailed(_DEPENDENCY, said, answered_status=status, reason="library")
