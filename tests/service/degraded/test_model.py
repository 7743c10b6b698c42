"""Claims about the service while the server of its language model is away, or silent."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.careline_process import CarelineProcess
from tests.servers import free_port
from tests.service.degraded.stage import REFUND
from tests.service.degraded.talk import Service, missing
from tests.service.scripted_model import ScriptedModelServer, says
from tests.timing import assert_within

GREETING = "Hello! What can I do for you?"


@pytest.fixture(scope="module")
def model_port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def careline(furnished: Path, model_port: int) -> Iterator[CarelineProcess]:
    settings = {
        "model_url": f"http://127.0.0.1:{model_port}/v1",
        "model": "scripted",
        "model_timeout_seconds": "1",
        "rate_limit_per_customer": "0",
    }
    with CarelineProcess(furnished, settings) as process:
        yield process


async def assert_answers_without_its_model(service: Service) -> float:
    """A cited answer that says what is missing; how long it took."""
    customer = service.customer("cus_01")

    answer = await customer.say(REFUND)

    assert "5 working days" in answer["reply"]["text"]
    assert answer["reply"]["citations"][0]["title"] == REFUND
    assert answer["brain"] == "embedded"
    assert answer["model"] is None
    assert missing(answer) == [("conversation", "model")]
    assert answer["degraded"][0]["message"].startswith("I can only give short answers right now")
    return customer.seconds


async def assert_the_model_answers(service: Service) -> None:
    await service.is_whole_again()
    answer = await service.customer("cus_01").say("Hello")
    assert answer["reply"]["text"] == GREETING
    assert (answer["brain"], answer["model"]) == ("llm", "scripted")
    assert missing(answer) == []


@pytest.mark.alone
async def test_a_closed_model_server_leaves_cited_answers_and_is_used_again_when_it_opens(
    careline: CarelineProcess, model_port: int, talk_to: Callable[[CarelineProcess], Service]
) -> None:
    service = talk_to(careline)
    async with ScriptedModelServer(says(GREETING), port=model_port):
        await assert_the_model_answers(service)

    seconds = await assert_answers_without_its_model(service)
    seen = await service.shows_down("model")

    assert_within(seconds, 1.5)
    assert (seen.code, seen.status) == (200, "degraded")
    async with ScriptedModelServer(says(GREETING), port=model_port):
        await assert_the_model_answers(service)


async def test_a_silent_model_server_costs_one_customer_its_timeout_and_the_next_one_nothing(
    careline: CarelineProcess, model_port: int, talk_to: Callable[[CarelineProcess], Service]
) -> None:
    service = talk_to(careline)
    async with ScriptedModelServer(says(GREETING), port=model_port):
        await assert_the_model_answers(service)

    async with await asyncio.start_server(_say_nothing, "127.0.0.1", model_port):
        first = await assert_answers_without_its_model(service)
        second = await assert_answers_without_its_model(service)
        seen = await service.shows_down("model")

    assert first < 4.0
    assert second < 1.0
    assert (seen.code, seen.status) == (200, "degraded")
    async with ScriptedModelServer(says(GREETING), port=model_port):
        await assert_the_model_answers(service)


async def _say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()
    writer.close()
