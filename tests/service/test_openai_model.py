"""
The OpenAI adapter against a server on a real socket, well-behaved and not.
"""

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
import pytest

from agent.models.base import ModelEvent, ModelFinished, ModelMessage, TextDelta, ToolSpec
from agent.models.chain import ChainedModels
from agent.models.openai import OpenAiModel
from agent.models.structured import structured_reply
from core.clock import SystemClock
from core.errors import (
    DependencyRejectedInput,
    DependencyTimeout,
    DependencyUnavailable,
    ExternalApiFailed,
    NetworkFailed,
    RateLimited,
)
from core.http import make_model_client
from core.resilience.breaker import BreakerPolicy
from core.resilience.deadline import Deadline
from core.resilience.guard import Guard, GuardPolicy
from tests.service.scripted_model import (
    Scene,
    ScriptedModelServer,
    Stage,
    breaks_off,
    calls,
    is_silent,
    refuses,
    says,
    says_at_once,
    sends,
)
from tests.timing import assert_within

CLOCK = SystemClock()
SILENCE_SECONDS = 0.4
HELLO = (ModelMessage(role="user", content="Hello"),)
TOOL = ToolSpec("open_ticket", "Open a ticket.", {"type": "object"})


@asynccontextmanager
async def model_at(url: str) -> AsyncIterator[tuple[OpenAiModel, Guard]]:
    policy = GuardPolicy(
        attempt_seconds=SILENCE_SECONDS, total_seconds=SILENCE_SECONDS, breaker=BreakerPolicy(minimum_calls=4)
    )
    guard = Guard("model", policy, clock=CLOCK, rng=random.Random(7))
    async with make_model_client("model", base_url=url, timeout_seconds=SILENCE_SECONDS) as client:
        yield (
            OpenAiModel(client, model="small", guard=guard, clock=CLOCK, silence_seconds=SILENCE_SECONDS),
            guard,
        )


async def ask(model: OpenAiModel | ChainedModels, *, seconds: float = 5.0) -> list[ModelEvent]:
    return [event async for event in model.stream(HELLO, (TOOL,), deadline=Deadline(CLOCK, seconds))]


async def answer_to(*scenes: Scene) -> list[ModelEvent]:
    async with ScriptedModelServer(*scenes) as server, model_at(server.url) as (model, _):
        return await ask(model)


def text_of(events: list[ModelEvent]) -> str:
    return "".join(event.text for event in events if isinstance(event, TextDelta))


async def test_a_streamed_answer_comes_whole_and_with_its_end() -> None:
    events = await answer_to(says("Good day, customer."))

    assert text_of(events) == "Good day, customer."
    assert events[-1] == ModelFinished("stop", model="small")


async def test_a_stream_that_ends_without_done_is_whole_when_it_named_a_reason() -> None:
    events = await answer_to(says("Good day.", done=False))

    assert text_of(events) == "Good day."


async def test_an_answer_that_is_not_streamed_is_read_all_the_same() -> None:
    events = await answer_to(says_at_once("Good day."))

    assert text_of(events) == "Good day."
    assert events[-1] == ModelFinished("stop", model="small")


async def test_tool_calls_in_interleaved_pieces_are_put_together_by_index() -> None:
    first, second = '{"subject": "Lamp is dark"}', '{"subject": "Invoice"}'

    events = await answer_to(calls(("open_ticket", first), ("open_ticket", second)))

    finished = events[-1]
    assert isinstance(finished, ModelFinished)
    assert finished.reason == "tool_calls"
    assert [(call.id, call.name, call.arguments) for call in finished.tool_calls] == [
        ("call_0", "open_ticket", first),
        ("call_1", "open_ticket", second),
    ]


async def test_the_request_carries_messages_and_tools() -> None:
    async with ScriptedModelServer(says("Hi")) as server, model_at(server.url) as (model, _):
        await ask(model)

    (request,) = server.requests
    assert request["model"] == "small"
    assert request["messages"] == [{"role": "user", "content": "Hello"}]
    assert request["tools"][0]["function"]["name"] == "open_ticket"


async def test_garbage_and_comments_between_chunks_are_skipped() -> None:
    chunk = 'data: {"choices":[{"delta":{"content":"Hi"}}]}\n\n'
    end = 'data: {"choices":[{"delta":{},"finish_reason":"stop"}]}\n\n'

    events = await answer_to(sends(": keep-alive\n\n", chunk, "data: <html>\n\n", "nonsense\n", end))

    assert text_of(events) == "Hi"


async def test_a_stream_cut_in_mid_word_is_a_network_failure() -> None:
    with pytest.raises(NetworkFailed):
        await answer_to(breaks_off("The warranty las"))


@pytest.mark.alone
async def test_silence_before_the_first_event_is_a_timeout() -> None:
    started = CLOCK.monotonic()

    with pytest.raises(DependencyTimeout):
        await answer_to(is_silent())

    assert_within(CLOCK.monotonic() - started, SILENCE_SECONDS + 0.5)


async def test_silence_in_mid_stream_is_a_timeout() -> None:
    with pytest.raises(DependencyTimeout):
        await answer_to(is_silent(after="The warranty "))


@pytest.mark.alone
@pytest.mark.parametrize(("first_token", "silence", "is_answered"), [(0.3, 2.0, False), (2.0, 0.3, True)])
async def test_the_first_word_has_a_time_of_its_own(
    first_token: float, silence: float, is_answered: bool
) -> None:
    async def thinks_first(stage: Stage) -> None:
        await CLOCK.sleep(0.8)
        await says("Good day.")(stage)

    guard = Guard(
        "model", GuardPolicy(attempt_seconds=first_token, total_seconds=5), clock=CLOCK, rng=random.Random(7)
    )
    async with (
        ScriptedModelServer(thinks_first) as server,
        make_model_client("model", base_url=server.url, timeout_seconds=max(first_token, silence)) as client,
    ):
        model = OpenAiModel(
            client,
            model="small",
            guard=guard,
            clock=CLOCK,
            silence_seconds=silence,
            first_token_seconds=first_token,
        )
        if is_answered:
            assert text_of(await ask(model)) == "Good day."
        else:
            started = CLOCK.monotonic()
            with pytest.raises(DependencyTimeout):
                await ask(model)
            assert_within(CLOCK.monotonic() - started, first_token + 0.4)


@pytest.mark.alone
async def test_a_slow_trickle_ends_with_the_deadline() -> None:
    async def trickles(stage: Stage) -> None:
        await stage.head()
        while True:
            await stage.delta({"content": "so "})
            await CLOCK.sleep(0.05)

    async with ScriptedModelServer(trickles) as server, model_at(server.url) as (model, _):
        started = CLOCK.monotonic()
        with pytest.raises(DependencyTimeout):
            await ask(model, seconds=0.6)

    assert_within(CLOCK.monotonic() - started, 1.0)


async def test_429_beyond_the_time_that_is_left_is_raised_with_its_wait() -> None:
    with pytest.raises(RateLimited) as refusal:
        await answer_to(refuses(429, Retry_After="7"))

    assert refusal.value.retry_after == 7.0
    assert refusal.value.dependency == "model"


async def test_a_500_is_repeated_before_anything_was_said() -> None:
    async with (
        ScriptedModelServer(refuses(500), says("Good day.")) as server,
        model_at(server.url) as (model, _),
    ):
        events = await ask(model)

    assert text_of(events) == "Good day."
    assert len(server.requests) == 2


async def test_an_unknown_model_is_the_models_failure_and_not_the_customers() -> None:
    with pytest.raises(ExternalApiFailed) as failure:
        await answer_to(refuses(404))

    assert failure.value.answered_status == 404


async def test_an_error_inside_the_stream_is_raised() -> None:
    with pytest.raises(ExternalApiFailed):
        await answer_to(sends('data: {"error": {"message": "overloaded"}}\n\n'))


async def test_a_web_page_instead_of_an_answer_is_raised() -> None:
    with pytest.raises(ExternalApiFailed):
        await answer_to(sends("<html>Welcome</html>", content_type="text/html"))


async def test_nobody_listening_is_unavailable() -> None:
    async with ScriptedModelServer(says("Hi")) as server:
        url = server.url

    async with model_at(url) as (model, _):
        with pytest.raises(DependencyUnavailable):
            await ask(model)


async def test_streams_that_break_off_open_the_breaker() -> None:
    async with (
        ScriptedModelServer(breaks_off("The warranty las")) as server,
        model_at(server.url) as (model, guard),
    ):
        for _ in range(2):
            with pytest.raises(NetworkFailed):
                await ask(model)

        assert guard.breaker.is_open
        with pytest.raises(DependencyUnavailable):
            await ask(model)

    assert len(server.requests) == 2


async def test_the_probe_accepts_a_server_without_a_list_of_models() -> None:
    async with ScriptedModelServer(says("Hi")) as server, model_at(server.url) as (model, _):
        await model.probe()


async def test_the_probe_fails_when_nobody_listens() -> None:
    async with ScriptedModelServer(says("Hi")) as server:
        url = server.url

    async with model_at(url) as (model, _):
        with pytest.raises(DependencyUnavailable):
            await model.probe()


async def test_the_next_model_in_the_chain_answers_when_the_first_is_out() -> None:
    async with (
        ScriptedModelServer(refuses(500)) as broken,
        ScriptedModelServer(says("Good day.")) as whole,
        model_at(broken.url) as (first, _),
        model_at(whole.url) as (second, _),
    ):
        events = await ask(ChainedModels((first, second), clock=CLOCK))

    assert text_of(events) == "Good day."


class _Found(msgspec.Struct, frozen=True):
    name: str


async def found_by(model: OpenAiModel) -> str:
    return (await structured_reply(model, HELLO, _Found, deadline=Deadline(CLOCK, 5.0))).name


async def test_a_shape_goes_out_as_a_strict_schema_and_the_answer_comes_back_as_a_value() -> None:
    async with ScriptedModelServer(says('{"name":"lamp"}')) as server, model_at(server.url) as (model, _):
        found = await found_by(model)
        await ask(model)

    assert found == "lamp"
    shaped, plain = server.requests
    assert shaped["response_format"]["type"] == "json_schema"
    assert shaped["response_format"]["json_schema"] == {
        "name": "Found",
        "strict": True,
        "schema": {
            "title": "_Found",
            "type": "object",
            "properties": {"name": {"type": "string"}},
            "required": ["name"],
            "additionalProperties": False,
        },
    }
    assert "response_format" not in plain


async def test_a_server_that_refuses_schemas_is_told_in_words_from_then_on() -> None:
    script = (refuses(400), says('{"name":"lamp"}'))

    async with ScriptedModelServer(*script) as server, model_at(server.url) as (model, guard):
        found = [await found_by(model), await found_by(model)]

    assert found == ["lamp", "lamp"]
    assert guard.breaker.state == "closed"
    assert ["response_format" in request for request in server.requests] == [True, False, False]
    for request in server.requests[1:]:
        assert '"additionalProperties":false' in request["messages"][0]["content"]


async def test_a_server_that_refuses_the_request_itself_is_asked_for_a_schema_again() -> None:
    script = (refuses(400), refuses(400), says('{"name":"lamp"}'))

    async with ScriptedModelServer(*script) as server, model_at(server.url) as (model, _):
        with pytest.raises(DependencyRejectedInput):
            await found_by(model)
        found = await found_by(model)

    assert found == "lamp"
    assert ["response_format" in request for request in server.requests] == [True, False, True]


async def test_a_refusal_besides_the_text_is_no_empty_answer() -> None:
    refusal = 'data: {"choices":[{"delta":{"refusal":"I cannot help with that."}}]}\n\n'
    end = 'data: {"choices":[{"delta":{},"finish_reason":"stop"}]}\n\n'

    (finished,) = await answer_to(sends(refusal, end))

    assert finished == ModelFinished("content_filter", model="small")


async def test_tokens_are_asked_for_and_told() -> None:
    async with ScriptedModelServer(says("Hi", usage=(120, 3))) as server, model_at(server.url) as (model, _):
        events = await ask(model)

    assert events[-1] == ModelFinished("stop", prompt_tokens=120, completion_tokens=3, model="small")


async def test_a_server_that_does_not_count_is_asked_without_from_then_on() -> None:
    script = (refuses(400), says("Hi"))

    async with ScriptedModelServer(*script) as server, model_at(server.url) as (model, guard):
        answers = [text_of(await ask(model)), text_of(await ask(model))]

    assert answers == ["Hi", "Hi"]
    assert guard.breaker.state == "closed"
    assert ["stream_options" in request for request in server.requests] == [True, False, False]


async def test_a_request_that_is_refused_after_others_were_served_is_not_sent_twice() -> None:
    async with (
        ScriptedModelServer(says("Hi"), refuses(400)) as server,
        model_at(server.url) as (model, _),
    ):
        await ask(model)
        with pytest.raises(DependencyRejectedInput):
            await ask(model)

    assert len(server.requests) == 2
