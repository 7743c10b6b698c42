"""
An embeddings server is asked in batches, waited for where it says so, checked, and its every failure is one of "vectors".
"""

import random
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from core.clock import SystemClock
from core.errors import DependencyError, DependencyUnavailable
from core.http import make_client
from core.identity import DEFAULT_TENANT
from core.resilience.guard import Guard, GuardPolicy
from core.resilience.retry import RetryPolicy
from tests.http_faults import Answer, Asked, FaultyServer, as_json
from tests.servers import free_port
from tests.unit.knowledge.shelf import SHOP, CountingEmbedder, Shelf
from tools.knowledge.embed_endpoint import EndpointEmbedder
from tools.knowledge.search import LocalKnowledge

TLS = ssl.create_default_context()
WORDS = CountingEmbedder()


def now(asked: Asked) -> Answer:
    texts = msgspec.json.decode(asked.body)["input"]
    rows = [{"index": n, "embedding": (WORDS._vector(text) * 3).tolist()} for n, text in enumerate(texts)]
    return as_json({"object": "list", "data": rows[::-1], "model": "words"})


@asynccontextmanager
async def asking(
    url: str, *, dimension: int = WORDS.dimension, **more: Any
) -> AsyncIterator[EndpointEmbedder]:
    def guard(attempts: int) -> Guard:
        policy = GuardPolicy(attempt_seconds=5.0, total_seconds=20.0, retry=RetryPolicy(attempts=attempts))
        return Guard("vectors", policy, clock=SystemClock(), rng=random.Random(7))

    async with make_client("vectors", base_url=f"{url}/v1", timeout_seconds=5.0, tls=TLS) as client:
        yield EndpointEmbedder(client, guard(1), guard(3), model="words", dimension=dimension, **more)


async def test_vectors_come_in_the_order_of_the_texts_and_have_length_one() -> None:
    async with FaultyServer(now).listening() as server, asking(server.url) as embedder:
        vectors = await embedder.embed(["a lamp", "\ud800", "a desk", "a lamp"])

    assert np.linalg.norm(vectors, axis=1) == pytest.approx(np.ones(4), abs=1e-5)
    assert vectors[0] == pytest.approx(WORDS._vector("a lamp"), abs=1e-5)
    assert (vectors[0] == vectors[3]).all()
    assert server.asked[0].path == "/v1/embeddings"
    assert msgspec.json.decode(server.asked[0].body) == {
        "model": "words",
        "input": ["a lamp", "?", "a desk"],
        "encoding_format": "float",
    }


async def test_many_texts_go_in_batches_and_a_question_asked_again_is_not_sent_again() -> None:
    async with (
        FaultyServer(now).listening() as server,
        asking(server.url, asks_for_dimension=True) as embedder,
    ):
        await embedder.embed([f"text {n}" for n in range(150)])
        batches = [msgspec.json.decode(asked.body) for asked in server.asked]
        await embedder.embed(["a question"])
        await embedder.embed(["a question"])

    assert [len(batch["input"]) for batch in batches] == [64, 64, 22]
    assert {batch["dimensions"] for batch in batches} == {WORDS.dimension}
    assert len(server.asked) == 4


async def test_who_indexes_waits_as_long_as_the_server_says() -> None:
    answers = [Answer(status=429, headers={"Retry-After": "1"})]

    def busy_at_first(asked: Asked) -> Answer:
        return answers.pop() if answers else now(asked)

    async with FaultyServer(busy_at_first).listening() as server, asking(server.url) as embedder:
        began = SystemClock().monotonic()
        vectors = await embedder.embed([f"text {n}" for n in range(20)])

    assert vectors.shape == (20, WORDS.dimension)
    assert SystemClock().monotonic() - began >= 1.0


@pytest.mark.parametrize(
    "answer",
    [
        Answer(status=401),
        Answer(status=404),
        Answer(status=400),
        Answer(status=429, headers={"Retry-After": "30"}),
        Answer(status=500),
        Answer(status=503),
        Answer(resets=True),
        Answer(body=b"<html>"),
        as_json({"data": []}),
        as_json({"data": [{"index": 1, "embedding": [1.0] * WORDS.dimension}]}),
        as_json({"data": [{"index": 0, "embedding": [1.0, 2.0]}]}),
        as_json({"data": [{"index": 0, "embedding": [0.0] * WORDS.dimension}]}),
        as_json({"data": [{"index": 0, "embedding": ["x"]}]}),
    ],
)
async def test_whatever_fails_articles_are_found_by_their_words(tmp_path: Path, answer: Answer) -> None:
    async with FaultyServer(now).listening() as server, asking(server.url) as embedder:
        shelf = Shelf(tmp_path, embedder)
        await shelf.put(*SHOP)
        server.answer = lambda _: answer
        with pytest.raises(DependencyError) as raised:
            await embedder.embed(["never asked"])
        async with LocalKnowledge(tmp_path, embedder) as knowledge:
            found = await knowledge.search(DEFAULT_TENANT, "lamp warranty", limit=1)

    assert raised.value.dependency == "vectors"
    assert (found.is_lexical_only, found.passages[0].article_id) == (True, "warranty")


async def test_a_server_that_is_not_there_is_an_outage_of_the_vectors() -> None:
    async with asking(f"http://127.0.0.1:{free_port()}") as embedder:
        with pytest.raises(DependencyUnavailable) as raised:
            await embedder.open()

    assert raised.value.dependency == "vectors"


async def test_another_dimension_names_the_setting_to_mend() -> None:
    async with (
        FaultyServer(now).listening() as server,
        asking(server.url, dimension=3) as embedder,
    ):
        with pytest.raises(DependencyUnavailable, match="CARELINE_EMBEDDER_DIMENSIONS"):
            await embedder.open()


async def test_an_index_of_another_model_is_not_mixed_with_this_one(tmp_path: Path) -> None:
    async with FaultyServer(now).listening() as server, asking(server.url) as embedder:
        shelf = Shelf(tmp_path, embedder)
        await shelf.put(*SHOP)
        embedder.name = "api-another"
        found = await shelf.knowledge.search(DEFAULT_TENANT, "lamp warranty", limit=1)
        rebuilt = await shelf.indexer.refresh(DEFAULT_TENANT)
        again = await shelf.knowledge.search(DEFAULT_TENANT, "lamp warranty", limit=1)

    assert (found.is_lexical_only, rebuilt, again.is_lexical_only) == (True, True, False)
