"""
Refuse the topics that a company does not want to be asked about, by words and by meaning.

Words are whole stems; meaning is the cosine to the topic's own examples, where there are vectors.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from agent.brain.guardrails.base import Fails, Passed, Refused
from tools.knowledge.words import terms


class Embeds(Protocol):
    """Implemented by `tools.knowledge.embed`. One row of length 1 for each text."""

    async def embed(self, texts: Sequence[str]) -> Any: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Topic:
    """`words` may be several words each. `reply` stands in place of our own sentence."""

    name: str
    words: tuple[str, ...] = ()
    examples: tuple[str, ...] = ()
    likeness: float = 0.6
    reply: str | None = None


class TopicGuardrail:
    def __init__(self, topics: Sequence[Topic], embedder: Embeds | None, *, fails: Fails) -> None:
        self.name = "topics"
        self.fails = fails
        self._topics = topics
        self._embedder = embedder
        self._words = [tuple(" ".join(terms(word)) for word in topic.words) for topic in topics]
        self._examples: list[Any] | None = None

    async def check(self, text: str, locale: str) -> Passed | Refused:
        said = f" {' '.join(terms(text))} "
        for topic, words in zip(self._topics, self._words, strict=True):
            if any(word and f" {word} " in said for word in words):
                return Refused("topic", said=topic.reply)
        if self._embedder is not None and any(topic.examples for topic in self._topics):
            return await self._by_meaning(text, self._embedder)
        return Passed(text)

    async def _by_meaning(self, text: str, embedder: Embeds) -> Passed | Refused:
        if self._examples is None:
            self._examples = [
                await embedder.embed(topic.examples) if topic.examples else None for topic in self._topics
            ]
        (meaning,) = await embedder.embed([text])
        for topic, examples in zip(self._topics, self._examples, strict=True):
            if examples is not None and float((examples @ meaning).max()) >= topic.likeness:
                return Refused("topic", said=topic.reply)
        return Passed(text)
