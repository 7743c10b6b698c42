"""POST /v1/chat/completions and GET /v1/models, as OpenAI's own client sees them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import openai
import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from agent.turn.inputs import Delta, Drain, Finished, Reset
from core.errors import DependencyTimeout
from core.messages import Usage
from tests.service.api_service import Served, serving

KEYS = "shop:0123456789abcdef0123456789abcdef"
ASKED: list[Any] = [{"role": "user", "content": "How do I return it?"}]


@asynccontextmanager
async def talking(*, key: str = "none", **settings: Any) -> AsyncIterator[tuple[openai.AsyncOpenAI, Served]]:
    async with serving(**settings) as served:
        base_url = f"http://127.0.0.1:{served.port}/v1"
        async with openai.AsyncOpenAI(base_url=base_url, api_key=key, max_retries=0) as client:
            yield client, served


async def streamed(client: openai.AsyncOpenAI, **fields: Any) -> list[ChatCompletionChunk]:
    stream = await client.chat.completions.create(model="any", messages=ASKED, stream=True, **fields)
    return [chunk async for chunk in stream]


def text_of(chunks: list[ChatCompletionChunk]) -> str:
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks)


def metadata_of(answer: ChatCompletion | ChatCompletionChunk) -> dict[str, str]:
    found = answer.model_dump()["metadata"]
    assert isinstance(found, dict)
    return found


async def test_an_answer_is_a_completion() -> None:
    async with talking() as (client, served):
        answer = await client.chat.completions.create(model="gpt-any", messages=ASKED, temperature=0.3)

    (choice,) = answer.choices
    assert (choice.message.role, choice.message.content) == ("assistant", "You can return it.")
    assert choice.finish_reason == "stop"
    assert (answer.object, answer.model) == ("chat.completion", "gpt-any")
    assert served.turns.submitted[0].message == "How do I return it?"


async def test_a_stream_is_the_same_answer_in_pieces() -> None:
    async with talking() as (client, _):
        chunks = await streamed(client)

    assert text_of(chunks) == "You can return it."
    assert chunks[0].choices[0].delta.role == "assistant"
    assert [chunk.choices[0].finish_reason for chunk in chunks] == [None] * (len(chunks) - 1) + ["stop"]
    assert len({chunk.id for chunk in chunks}) == 1


async def test_the_conversation_goes_on_by_its_id_and_only_the_last_message_is_news() -> None:
    async with talking() as (client, served):
        first = await client.chat.completions.create(model="any", messages=ASKED, user="cus_1")
        conversation_id = metadata_of(first)["conversation_id"]
        history: list[Any] = [
            {"role": "system", "content": "You are a pirate."},
            *ASKED,
            {"role": "assistant", "content": "You can return it."},
            {"role": "user", "content": [{"type": "text", "text": "And"}, {"type": "text", "text": "then?"}]},
        ]
        metadata = {"conversation_id": conversation_id, "page": "/returns"}
        second = await client.chat.completions.create(
            model="any", messages=history, user="cus_1", metadata=metadata
        )
        by_stream = await streamed(client, user="cus_1", metadata={"conversation_id": conversation_id})

    asked = served.turns.submitted[1]
    assert metadata_of(second)["conversation_id"] == conversation_id
    assert metadata_of(by_stream[-1])["conversation_id"] == conversation_id
    assert (asked.message, asked.metadata) == ("And\nthen?", {"page": "/returns"})
    assert asked.caller.customer_id == "cus_1"


async def test_a_resent_message_gets_the_same_answer() -> None:
    headers = {"Idempotency-Key": "m1"}
    async with talking() as (client, served):
        first = await client.chat.completions.create(model="any", messages=ASKED, extra_headers=headers)
        second = await client.chat.completions.create(model="any", messages=ASKED, extra_headers=headers)
        third = await streamed(client, extra_headers=headers)

    assert first.id == second.id == third[0].id
    assert text_of(third) == "You can return it."
    assert len(served.turns.submitted) == 1


async def test_an_answer_that_begins_anew_follows_what_cannot_be_taken_back() -> None:
    async with talking() as (client, served):
        served.turns.script = (Delta("Half an"), Reset(), Delta("You can return it."))
        chunks = await streamed(client)

    assert text_of(chunks).startswith("Half an\n\nYou can return it.")


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "assistant", "content": "Hi"}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": "  "}]}, "messages"),
        ({"messages": [{"role": "user", "content": "x" * 8001}]}, "messages"),
        ({"messages": ASKED, "n": 2}, "n"),
        ({"messages": ASKED, "metadata": {"conversation_id": ""}}, "metadata"),
    ],
)
async def test_a_wrong_field_is_named_as_the_client_knows_it(fields: dict[str, Any], param: str) -> None:
    async with talking() as (client, _):
        with pytest.raises(openai.BadRequestError) as refused:
            await client.chat.completions.create(model="any", **fields)

    assert refused.value.param == param
    assert refused.value.type == "invalid_request_error"


async def test_refusals_are_the_clients_own_errors() -> None:
    async with talking(key="wrong", api_keys=KEYS) as (client, _):
        with pytest.raises(openai.AuthenticationError) as unknown:
            await client.chat.completions.create(model="any", messages=ASKED)
        with pytest.raises(openai.AuthenticationError):
            await client.models.list()
    async with talking(rate_limit="1/hour") as (client, _):
        await client.chat.completions.create(model="any", messages=ASKED)
        with pytest.raises(openai.RateLimitError) as limited:
            await client.chat.completions.create(model="any", messages=ASKED)
    async with talking() as (client, served):
        with pytest.raises(openai.NotFoundError):
            await client.chat.completions.create(
                model="any", messages=ASKED, metadata={"conversation_id": "conv_of_nobody"}
            )
        served.turns.is_away = True
        with pytest.raises(openai.InternalServerError) as away:
            await client.chat.completions.create(model="any", messages=ASKED)

    assert unknown.value.code == "invalid_api_key"
    assert limited.value.type == "rate_limit_error"
    assert limited.value.response.headers["retry-after"]
    assert (away.value.status_code, away.value.type) == (503, "server_error")
    assert "db-7" not in str(away.value)


async def test_usage_is_what_was_counted_and_left_out_where_nobody_counted() -> None:
    async with talking() as (client, served):
        unknown = await client.chat.completions.create(model="any", messages=ASKED)
        served.turns.usage = Usage(prompt_tokens=1200, completion_tokens=34)
        counted = await client.chat.completions.create(model="any", messages=ASKED)

    assert unknown.usage is None
    assert counted.usage is not None
    assert counted.usage.model_dump(exclude_unset=True) == {
        "prompt_tokens": 1200,
        "completion_tokens": 34,
        "total_tokens": 1234,
    }


async def test_a_stream_ends_with_its_usage_where_that_is_asked_for() -> None:
    async with talking() as (client, served):
        served.turns.usage = Usage(prompt_tokens=1200, completion_tokens=34)
        without = await streamed(client)
        *chunks, last = await streamed(client, stream_options={"include_usage": True})
        served.turns.usage = None
        unknown = await streamed(client, stream_options={"include_usage": True})

    assert not any("usage" in chunk.model_fields_set for chunk in without)
    assert all(chunk.usage is None and "usage" in chunk.model_fields_set for chunk in chunks)
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert last.choices == []
    assert last.usage is not None
    assert (last.usage.prompt_tokens, last.usage.completion_tokens, last.usage.total_tokens) == (
        1200,
        34,
        1234,
    )
    assert last.id == chunks[0].id
    assert unknown[-1].choices[0].finish_reason == "stop"


async def test_a_full_service_refuses_in_the_same_form() -> None:
    async with talking(max_turns=1) as (client, served):
        served.turns.script = (Delta("You can "), 5.0)
        stream = await client.chat.completions.create(model="any", messages=ASKED, stream=True)
        with pytest.raises(openai.InternalServerError) as full:
            await client.chat.completions.create(model="any", messages=ASKED)
        await stream.close()

    assert (full.value.code, full.value.type) == ("service_unavailable", "server_error")


@pytest.mark.parametrize(
    "end", [Finished(None, DependencyTimeout("sql", "host db-7 is slow")), Drain(retry_ms=500)]
)
async def test_a_stream_without_an_answer_ends_in_an_error(end: Finished | Drain) -> None:
    async with talking() as (client, served):
        served.turns.script = (Delta("You can "), end)
        with pytest.raises(openai.APIError) as broken:
            await streamed(client)

    assert "db-7" not in str(broken.value)


async def test_there_is_one_model() -> None:
    async with talking() as (client, _):
        listed = await client.models.list()

    assert [model.id for model in listed.data] == ["careline"]
