"""What an answer took, as OpenAI's own client reads it from a whole service: counted by a model's server, nothing without one."""

from pathlib import Path
from typing import Any

import openai
import pytest
from openai.types import CompletionUsage

from tests.careline_process import CarelineProcess, run_careline
from tests.service.degraded.stage import ARTICLES, REFUND
from tests.service.scripted_model import Scene, ScriptedModelServer, refuses, says

ASKED: list[Any] = [{"role": "user", "content": REFUND}]
GREETING = "Hello! What can I do for you?"


async def usage_of(process: CarelineProcess) -> tuple[CompletionUsage | None, CompletionUsage | None]:
    """Of an answer that came whole, and of one that was streamed."""
    async with openai.AsyncOpenAI(base_url=f"{process.url}/v1", api_key="none", max_retries=0) as client:
        whole = await client.chat.completions.create(model="any", messages=ASKED)
        stream = await client.chat.completions.create(
            model="any", messages=ASKED, stream=True, stream_options={"include_usage": True}
        )
        chunks = [chunk async for chunk in stream]
    return whole.usage, chunks[-1].usage


async def with_model(folder: Path, *scenes: Scene) -> tuple[CompletionUsage | None, CompletionUsage | None]:
    async with ScriptedModelServer(*scenes) as server:
        with CarelineProcess(folder, {"model_url": server.url, "model": "small"}) as process:
            return await usage_of(process)


@pytest.mark.parametrize(
    ("scene", "expected"), [(says(GREETING, usage=(210, 9)), (210, 9, 219)), (says(GREETING), None)]
)
async def test_what_the_models_server_counted(
    scene: Scene, expected: tuple[int, int, int] | None, tmp_path: Path
) -> None:
    for usage in await with_model(tmp_path, scene):
        told = usage and (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens)
        assert told == expected


async def test_the_built_in_brain_takes_no_tokens_and_a_model_that_failed_nobody_knows(
    tmp_path: Path,
) -> None:
    run_careline("ingest", *ARTICLES, folder=tmp_path)
    with CarelineProcess(tmp_path, {}) as process:
        alone = await usage_of(process)
    failed = await with_model(tmp_path, refuses(500))

    assert [usage and usage.total_tokens for usage in alone] == [0, 0]
    assert failed[0] is None
