"""Claims about the service with two language models, of which one or both are away."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.careline_process import CarelineProcess
from tests.servers import free_port
from tests.service.degraded.stage import REFUND
from tests.service.degraded.talk import Service, missing
from tests.service.scripted_model import ScriptedModelServer, refuses, says

GREETING = "Hello! What can I do for you?"


@pytest.fixture(scope="module")
def ports() -> tuple[int, int]:
    return free_port(), free_port()


@pytest.fixture(scope="module")
def careline(furnished: Path, ports: tuple[int, int]) -> Iterator[CarelineProcess]:
    second = {"url": f"http://127.0.0.1:{ports[1]}/v1", "model": "second"}
    settings = {
        "model_url": f"http://127.0.0.1:{ports[0]}/v1",
        "model": "first",
        "further_models": json.dumps([second]),
        "model_timeout_seconds": "1",
        "rate_limit_per_customer": "0",
    }
    with CarelineProcess(furnished, settings) as process:
        yield process


async def model_of(service: Service) -> str | None:
    answer = await service.customer("cus_01").say("Hello")
    assert missing(answer) == []
    model: str | None = answer["model"]
    return model


async def test_the_next_model_answers_and_only_without_any_the_built_in_brain_does(
    careline: CarelineProcess, ports: tuple[int, int], talk_to: Callable[[CarelineProcess], Service]
) -> None:
    service = talk_to(careline)
    first, second = ports

    async with ScriptedModelServer(says(GREETING), port=second):
        async with ScriptedModelServer(says(GREETING), port=first):
            await service.is_whole_again()
            assert await model_of(service) == "first"
        assert await model_of(service) == "second"
        async with ScriptedModelServer(refuses(429, Retry_After="600"), port=first):
            assert [await model_of(service) for _ in range(2)] == ["second", "second"]

    answer = await service.customer("cus_01").say(REFUND)
    seen = await service.shows_down("model")

    assert answer["brain"] == "embedded"
    assert missing(answer) == [("conversation", "model")]
    assert (seen.code, seen.status) == (200, "degraded")
    async with ScriptedModelServer(says(GREETING), port=second):
        await service.is_whole_again()
        assert await model_of(service) == "second"
