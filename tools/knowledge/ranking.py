"""
Rank the articles of one index for one question.

The score is words (BM25) and meaning (cosine), each put on 0…1 over the candidates of this one question: their own scales say
nothing to each other. What is about a thing that was named gains, and codes and ids go before all. Articles are ranked; the
passage is the best chunk.
"""

from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass
from typing import Self

import numpy as np

from core.records import Passage
from tools.knowledge.duplicates import Shown
from tools.knowledge.embed import Vectors
from tools.knowledge.index import Index
from tools.knowledge.view import View
from tools.knowledge.words import terms

_CANDIDATES = 50
_CHUNK_CANDIDATES = 400
_CANDIDATES_OF_SUBJECTS = 400

_CONTEXT_SHARE = 0.5
"""Of the words that were said before; that of their meaning stands in `tools.knowledge.question`."""

_MOST_CONTEXT_TERMS = 16  # a term costs time with every article that has it; 48 found nothing more
_SAME_LANGUAGE = 0.1

_HAS_THE_CODE = 5.0
"""More than everything else together: whoever asks for E-4017 is answered about no other error."""
_CODE_OF_BEFORE = 0.3
_RARE_CODE = 3
_RARE_CODE_SHARE = 0.02
"""A code in more articles than this many, and than this share of all, is a word like any other: "esp32", "h264"."""

_NOTHING_IN_COMMON = 0.1
"""A cosine below this, with no word in common, is chance: unrelated texts lie around 0."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """
    `words` is their share of the score, where there are vectors; and an article is near a question by its nearest chunk, and
    as much by what it is about as a whole. Articles about a subject that was named gain `subject` times what they have to do
    with the question: those that have nothing gain nothing.

    In the middle of plateaus: `words` on the development questions and the titles of `python -m bench.retrieval`, `subject`
    in five folds of `python -m bench.context --folds`.
    """

    words: float = 0.4
    subject: float = 2.0


@dataclass(frozen=True, slots=True)
class Question:
    """`messages` are what was said by whoever, the question itself first, then the newest: subjects are named in them."""

    words: tuple[str, ...]
    codes: tuple[tuple[str, ...], ...]
    ids: tuple[str, ...]
    context: tuple[str, ...]
    codes_before: tuple[tuple[str, ...], ...]
    messages: tuple[str, ...]
    vector: Vectors | None
    language: str | None
    limit: int


@dataclass(frozen=True, slots=True)
class Nearness:
    """Of a question to each chunk and each article (its best chunk), and what articles are ranked by."""

    chunk_cosines: Vectors
    article_cosines: Vectors
    of_articles: Vectors

    @classmethod
    def of(cls, index: Index | View, vector: Vectors) -> Self:
        chunk_cosines, as_wholes = index.cosines(vector)
        article_cosines = index.best_of_articles(chunk_cosines)
        return cls(chunk_cosines, article_cosines, article_cosines + as_wholes)

    @property
    def most(self) -> float:
        return float(self.of_articles.max(initial=0.0))


class Ranking:
    """One question, asked of what its reader may see of one index."""

    def __init__(self, index: View, question: Question, vector: Vectors | None, weights: Weights) -> None:
        self._index = index
        self._question = question
        self._weights = weights
        self._asked = index.weights(question.words)
        said = [word for word in question.context if word not in self._asked]
        self._said = index.weights(said, most=_MOST_CONTEXT_TERMS)
        self._near = Nearness.of(index, vector) if vector is not None else None
        self._exact, self._exact_chunks = self._by_codes()
        self._about = index.named_in(question.messages)

    def passages(self) -> tuple[Passage, ...]:
        """Best first, none of them nearly the same as one before it."""
        scores = self._articles()
        if not scores:
            return ()
        by_words = self._by_words(self._index.chunks_by_words, limit=_CHUNK_CANDIDATES)
        by_meaning = _on_unit_scale(self._near.chunk_cosines if self._near else None, limit=_CHUNK_CANDIDATES)

        def fits(chunk: int) -> float:
            has_code = _HAS_THE_CODE if chunk in self._exact_chunks else 0.0
            return by_words.get(chunk, 0.0) + by_meaning.get(chunk, 0.0) + has_code

        passages: list[Passage] = []
        shown = Shown()
        for number in sorted(scores, key=lambda number: (-scores[number], number)):
            if len(passages) == self._question.limit:
                break
            passage, words = self._passage(
                number, max(self._index.chunk_range(number), key=fits), scores[number]
            )
            has_something = passage.lexical or (passage.cosine or 0.0) > _NOTHING_IN_COMMON
            if (has_something or number in self._exact) and shown.is_new(passage, words):
                passages.append(passage)
        return tuple(passages)

    def _by_codes(self) -> tuple[dict[int, float], set[int]]:
        """What articles gain by the rare codes and the ids in the question, and the chunks where these stand."""
        index, question = self._index, self._question
        most = max(_RARE_CODE, int(_RARE_CODE_SHARE * index.manifest.articles))
        gains: dict[int, float] = {}
        chunks: set[int] = set()
        asked = [(code, _HAS_THE_CODE) for code in question.codes]
        before = [(code, _CODE_OF_BEFORE) for code in question.codes_before if not question.codes]
        for code, gain in (*asked, *before):
            having = index.articles_with(code, limit=most + 1)
            if len(having) > most:
                continue
            for number in having:
                gains[number] = gains.get(number, 0.0) + gain
            chunks.update(index.chunks_with(code, limit=_CHUNK_CANDIDATES) if having else ())
        named = (index.number_of(article_id) for article_id in question.ids)
        for number in (number for number in named if number is not None):
            gains[number] = gains.get(number, 0.0) + _HAS_THE_CODE
        return gains, chunks

    def _articles(self) -> dict[int, float]:
        most = _CANDIDATES_OF_SUBJECTS if self._about else _CANDIDATES
        by_words = self._by_words(self._index.articles_by_words, limit=most)
        by_meaning = _on_unit_scale(self._near.of_articles if self._near else None, limit=_CANDIDATES)
        share = self._weights.words if self._near else 1.0
        language = (self._question.language or "").split("-")[0].lower()
        scores = {
            number: share * by_words.get(number, 0.0)
            + (1 - share) * by_meaning.get(number, 0.0)
            + (_SAME_LANGUAGE if self._index.languages[number] == language else 0.0)
            + self._exact.get(number, 0.0)
            for number in by_words.keys() | by_meaning.keys() | self._exact.keys()
        }
        for number, strength in self._about.items():
            fit = share * by_words.get(number, 0.0) + (1 - share) * self._meaning(number)
            scores[number] = scores.get(number, 0.0) + self._weights.subject * strength * fit
        return scores

    def _meaning(self, number: int) -> float:
        """Of an article that need not be among the nearest: 0 where it has nothing to do with the question, 1 for the nearest."""
        if self._near is None or self._near.most <= 0:
            return 0.0
        return max(0.0, float(self._near.of_articles[number])) / self._near.most

    def _by_words(self, ask: Callable[..., dict[int, float]], *, limit: int) -> dict[int, float]:
        """BM25 is a sum over terms, so earlier words are added with a smaller share. The best gets 1."""
        found = ask(list(self._asked), limit=limit)
        for number, score in ask(list(self._said), limit=limit).items():
            found[number] = found.get(number, 0.0) + _CONTEXT_SHARE * score
        top = max(found.values(), default=0.0)
        return {number: score / top for number, score in found.items()} if top > 0 else {}

    def _passage(self, number: int, chunk: int, score: float) -> tuple[Passage, frozenset[str]]:
        """The passage, and all its terms."""
        article = self._index.article(number)
        heading, where, words = self._index.chunk(chunk)
        found = Passage(
            article_id=article.article_id,
            title=article.title,
            url=article.url,
            heading=heading,
            text=article.body[where].strip(),
            score=score,
            cosine=float(self._near.article_cosines[number]) if self._near else None,
            lexical=_share_found(self._asked or self._said, words | set(terms(article.title))),
            category=article.category,
            language=article.language,
        )
        return found, words


def _on_unit_scale(values: Vectors | None, *, limit: int) -> dict[int, float]:
    """The best `limit` by number: the best of them gets 1, the last 0."""
    if values is None or not len(values):
        return {}
    best = np.argpartition(-values, limit - 1)[:limit] if len(values) > limit else np.arange(len(values))
    best = best[values[best] > -np.inf]  # what is hidden
    if not len(best):
        return {}
    top, floor = float(values[best].max()), float(values[best].min())
    span = top - floor
    return {int(number): (float(values[number]) - floor) / span if span > 1e-6 else 1.0 for number in best}


def _share_found(asked: Mapping[str, float], words: Set[str]) -> float:
    whole = sum(asked.values())
    return sum(weight for word, weight in asked.items() if word in words) / whole if whole else 0.0
