"""
A sentence in other words than its source: kept where it means the same, and only where nothing else speaks against it.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from agent.brain.llm import LlmBrain
from agent.brain.meaning import Meaning
from agent.models.scripted import ScriptedModel, says
from core.errors import DependencyUnavailable
from tests.unit.brain.llm_fakes import TOOLS, FakeTools, Screen, turn

PARAPHRASE = "Anything unused may come back to us for a refund inside 30 days."
QUOTE = "You can return unused items within 30 days of delivery."


class Vectors:
    """The paraphrases and their source point one way, all else another; `asked` are the texts that were embedded."""

    def __init__(self, *, is_out: bool = False) -> None:
        self._is_out = is_out
        self.asked: list[Sequence[str]] = []

    async def embed(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        self.asked.append(texts)
        if self._is_out:
            raise DependencyUnavailable("vectors")
        rows = [[1.0, 0.0] if "nused" in text else [0.0, 1.0] for text in texts]
        return np.asarray(rows, dtype=np.float32)


async def reply_to(said: str, vectors: Vectors | None) -> tuple[str, list[str]]:
    brain = LlmBrain(
        ScriptedModel(says(said)),
        tools=TOOLS,
        company_name="Lumen Shop",
        meaning=Meaning(vectors) if vectors is not None else None,
    )
    reply = await brain.respond(turn(), FakeTools(), Screen())
    return reply.text, [citation.quote for citation in reply.citations]


async def test_a_paraphrase_is_kept_with_the_piece_that_means_the_same() -> None:
    text, quotes = await reply_to(PARAPHRASE, Vectors())

    assert text == f"{PARAPHRASE} [1]"
    assert quotes == [QUOTE]


async def test_without_vectors_words_decide_alone() -> None:
    absent, _ = await reply_to(PARAPHRASE, None)
    out, _ = await reply_to(PARAPHRASE, Vectors(is_out=True))

    assert "I do not know" in absent
    assert "I do not know" in out


async def test_a_sentence_that_its_words_support_costs_no_vector() -> None:
    vectors = Vectors()

    text, _ = await reply_to(f"{QUOTE} [1]", vectors)

    assert text == f"{QUOTE} [1]"
    assert vectors.asked == []


async def test_what_vectors_are_blind_to_still_counts() -> None:
    for wrong in (
        "Anything unused may come back to us for a refund inside 60 days.",
        "Anything unused may not come back to us for a refund inside 30 days.",
        "Anything unused may come back to Siemens for a refund inside 30 days.",
        "I have refunded all that was unused, inside 30 days.",
        "Anything unused may come back to https://evil.test inside 30 days.",
    ):
        vectors = Vectors()

        text, _ = await reply_to(wrong, vectors)

        assert "I do not know" in text, wrong
        assert vectors.asked == [], wrong


async def test_what_means_something_else_is_not_kept() -> None:
    text, _ = await reply_to("Opened lipstick travels with cosmetics to another town.", Vectors())

    assert "I do not know" in text
