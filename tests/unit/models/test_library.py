"""
Models behind the library pydantic-ai, spoken to as it speaks itself; only the provider is played.
"""

import asyncio
import json
import random
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
from pydantic_ai import exceptions
from pydantic_ai.messages import ModelMessage as LibraryMessage
from pydantic_ai.messages import ModelRequest, ModelResponse
from pydantic_ai.models.function import AgentInfo, DeltaToolCall, DeltaToolCalls, FunctionModel
from pydantic_ai.profiles import ModelProfile

from agent.models.base import ModelEvent, ModelFinished, ModelMessage, ModelToolCall, TextDelta, ToolSpec
from agent.models.library import LibraryModel
from agent.models.structured import shape_of, structured_reply
from core.clock import SystemClock
from core.errors import (
    CarelineError,
    DependencyRefusedUs,
    DependencyTimeout,
    DependencyUnavailable,
    ExternalApiFailed,
    NetworkFailed,
    RateLimited,
    ToolMisconfigured,
)
from core.resilience.deadline import Deadline
from core.resilience.guard import Guard, GuardPolicy
from core.resilience.retry import RetryPolicy

CLOCK = SystemClock()
TOOL = ToolSpec("find_tickets", "Find tickets.", {"type": "object", "properties": {}})


class Provider:
    """Streams what it is told to, an exception included; `seen` and `offered` are what it was asked."""

    def __init__(self, *said: str | DeltaToolCalls | Exception | float) -> None:
        self._said = said
        self.seen: list[list[LibraryMessage]] = []
        self.offered: list[AgentInfo] = []

    async def __call__(
        self, messages: list[LibraryMessage], info: AgentInfo
    ) -> AsyncIterator[str | DeltaToolCalls]:
        self.seen.append(messages)
        self.offered.append(info)
        for each in self._said:
            if isinstance(each, Exception):
                raise each
            if isinstance(each, float):
                await asyncio.sleep(each)
            else:
                yield each


def model(provider: Provider, *, seconds: float = 5.0, profile: ModelProfile | None = None) -> LibraryModel:
    policy = GuardPolicy(retry=RetryPolicy(attempts=1), attempt_seconds=5.0)

    async def stream(messages: list[LibraryMessage], info: AgentInfo) -> AsyncIterator[Any]:
        async for each in provider(messages, info):
            yield each

    return LibraryModel(
        FunctionModel(stream_function=stream, model_name="played", profile=profile),
        guard=Guard("model", policy, clock=CLOCK, rng=random.Random(1)),
        clock=CLOCK,
        silence_seconds=seconds,
        first_token_seconds=seconds,
    )


async def answer(
    asked: LibraryModel, messages: list[ModelMessage] | None = None, *, most_tokens: int | None = None
) -> list[ModelEvent]:
    said = messages or [ModelMessage(role="user", content="Hi")]
    stream = asked.stream(said, [TOOL], deadline=Deadline(CLOCK, 10.0), most_tokens=most_tokens)
    return [event async for event in stream]


async def test_text_comes_in_pieces_and_ends_with_what_it_took() -> None:
    *texts, end = await answer(model(Provider("You can ", "return it.")))

    assert "".join(event.text for event in texts if isinstance(event, TextDelta)) == "You can return it."
    assert isinstance(end, ModelFinished)
    assert (end.reason, end.tool_calls, end.model) == ("stop", (), "played")
    assert end.completion_tokens


async def test_tool_calls_are_put_together_from_their_pieces() -> None:
    pieces: list[DeltaToolCalls] = [
        {0: DeltaToolCall(name="find_tickets", json_args='{"sta', tool_call_id="c1")},
        {0: DeltaToolCall(json_args='tus": "open"}')},
    ]

    (end,) = await answer(model(Provider(*pieces)))

    assert isinstance(end, ModelFinished)
    assert end.reason == "tool_calls"
    assert [(call.id, call.name, json.loads(call.arguments)) for call in end.tool_calls] == [
        ("c1", "find_tickets", {"status": "open"})
    ]


async def test_the_conversation_and_the_tools_reach_the_provider() -> None:
    provider = Provider("Done.")
    conversation = [
        ModelMessage(role="system", content="Rules."),
        ModelMessage(role="user", content="Which tickets?"),
        ModelMessage(role="assistant", tool_calls=(ModelToolCall("c1", "find_tickets", "{}"),)),
        ModelMessage(role="tool", content='{"status":"succeeded"}', tool_call_id="c1"),
    ]

    await answer(model(provider), conversation, most_tokens=99)

    first, second, third = provider.seen[0]
    assert isinstance(first, ModelRequest)
    assert [part.part_kind for part in first.parts] == ["system-prompt", "user-prompt"]
    assert isinstance(second, ModelResponse)
    assert [part.part_kind for part in second.parts] == ["tool-call"]
    assert isinstance(third, ModelRequest)
    assert [(part.part_kind, getattr(part, "tool_name", "")) for part in third.parts] == [
        ("tool-return", "find_tickets")
    ]
    assert [tool.name for tool in provider.offered[0].function_tools] == ["find_tickets"]
    assert (provider.offered[0].model_settings or {}).get("max_tokens") == 99


@pytest.mark.parametrize(
    ("failure", "as_ours"),
    [
        (exceptions.ModelHTTPError(429, "played"), RateLimited),
        (exceptions.ModelHTTPError(401, "played"), DependencyRefusedUs),
        (exceptions.ModelHTTPError(500, "played", "secret host db-7"), ExternalApiFailed),
        (exceptions.ModelConnectionError("played", "refused by db-7"), NetworkFailed),
        (exceptions.ModelTimeoutError("played", "slow"), DependencyTimeout),
        (RuntimeError("db-7"), ExternalApiFailed),
    ],
)
@pytest.mark.parametrize("before", [(), ("Half an",)])
async def test_what_fails_is_told_in_our_words(
    failure: Exception, as_ours: type[CarelineError], before: tuple[str, ...]
) -> None:
    with pytest.raises(as_ours) as told:
        await answer(model(Provider(*before, failure)))

    assert "db-7" not in str(told.value)


async def test_silence_is_a_timeout() -> None:
    with pytest.raises((DependencyTimeout, DependencyUnavailable)):
        await answer(model(Provider("Half an", 5.0, " answer"), seconds=0.2))


async def test_who_stops_reading_leaves_nothing_running() -> None:
    before = asyncio.all_tasks()
    stream = model(Provider("One. ", 5.0, "Two.")).stream(
        [ModelMessage(role="user", content="Hi")], (), deadline=Deadline(CLOCK, 10.0)
    )

    async for _ in stream:
        break
    await stream.aclose()

    assert asyncio.all_tasks() == before


def test_a_model_that_cannot_be_opened_says_why() -> None:
    guard = Guard("model", GuardPolicy(), clock=CLOCK, rng=random.Random(1))

    with pytest.raises(ToolMisconfigured, match="nobody:nothing"):
        LibraryModel("nobody:nothing", guard=guard, clock=CLOCK, silence_seconds=1, first_token_seconds=1)


class Found(msgspec.Struct, frozen=True):
    name: str


@pytest.mark.parametrize("mode", ["native", "prompted"])
async def test_a_shape_reaches_the_provider_by_its_schema_or_in_words(mode: str) -> None:
    provider = Provider('{"name":', '"lamp"}')
    profile = ModelProfile(supports_json_schema_output=mode == "native")

    found = await structured_reply(
        model(provider, profile=profile),
        [ModelMessage(role="user", content="Hi")],
        Found,
        deadline=Deadline(CLOCK, 10.0),
    )

    assert found == Found("lamp")
    asked = provider.offered[0].model_request_parameters
    assert asked.output_mode == mode
    assert asked.output_object is not None
    assert asked.output_object.json_schema == shape_of(Found).schema
    told = "".join(part.content for part in asked.instruction_parts or ())
    assert ('"additionalProperties"' in told) == (mode == "prompted")
