"""
What one reader may find in an index: nothing of a narrower audience, nothing past its date, nothing in other languages than
those asked for.

Ranking is given a view in place of the index, so whatever it does, it cannot find more.
"""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime

import numpy as np

from core.identity import Audience
from core.languages import language_of
from core.records import Article
from tools.knowledge.embed import Vectors
from tools.knowledge.index import Index, Manifest


class View:
    """
    As the index; articles and chunks keep their numbers. What is hidden has a cosine of −∞, and is in no result of words.

    Rarities of words are those of the whole index: they say nothing of any one article.
    """

    def __init__(
        self, index: Index, *, audience: Audience, now: datetime, languages: Collection[str] = ()
    ) -> None:
        self._index = index
        self._articles = index.articles_for(audience)
        self._chunks = index.chunks_of(self._articles)
        hidden = set(index.expired_at(now).tolist())
        if languages:
            wanted = {language_of(tag) for tag in languages}
            hidden.update(number for number, each in enumerate(index.languages) if each not in wanted)
        self._hidden = frozenset(number for number in hidden if number < self._articles)
        self._hidden_chunks = frozenset(
            chunk for number in self._hidden for chunk in index.chunk_range(number)
        )

    @property
    def is_empty(self) -> bool:
        return len(self._hidden) == self._articles

    @property
    def manifest(self) -> Manifest:
        """Of the whole index."""
        return self._index.manifest

    @property
    def languages(self) -> Sequence[str]:
        return self._index.languages

    def weights(self, words: Sequence[str], *, most: int | None = None) -> dict[str, float]:
        return self._index.weights(words) if most is None else self._index.weights(words, most=most)

    def articles_by_words(self, words: Sequence[str], *, limit: int) -> dict[int, float]:
        found = self._index.articles_by_words(words, limit=limit + len(self._hidden), below=self._articles)
        return _without(found, self._hidden, limit)

    def chunks_by_words(self, words: Sequence[str], *, limit: int) -> dict[int, float]:
        found = self._index.chunks_by_words(words, limit=limit + len(self._hidden_chunks), below=self._chunks)
        return _without(found, self._hidden_chunks, limit)

    def articles_with(self, phrase: Sequence[str], *, limit: int) -> list[int]:
        """As many as may be seen: how many others have it says nothing to anybody."""
        found = self._index.articles_with(phrase, limit=limit + len(self._hidden), below=self._articles)
        return [number for number in found if number not in self._hidden][:limit]

    def chunks_with(self, phrase: Sequence[str], *, limit: int) -> list[int]:
        found = self._index.chunks_with(phrase, limit=limit + len(self._hidden_chunks), below=self._chunks)
        return [number for number in found if number not in self._hidden_chunks][:limit]

    def named_in(self, messages: Iterable[str]) -> dict[int, float]:
        named = self._index.subjects.named_in(messages)
        return {number: strength for number, strength in named.items() if self._may_be_seen(number)}

    def number_of(self, article_id: str) -> int | None:
        number = self._index.number_of(article_id)
        return number if number is not None and self._may_be_seen(number) else None

    def cosines(self, vector: Vectors) -> tuple[Vectors, Vectors]:
        of_chunks, of_articles = self._index.cosines(vector, articles=self._articles)
        if self._hidden:
            of_chunks[list(self._hidden_chunks)] = -np.inf
            of_articles[list(self._hidden)] = -np.inf
        return of_chunks, of_articles

    def best_of_articles(self, of_chunks: Vectors) -> Vectors:
        return self._index.best_of_articles(of_chunks)

    def chunk_range(self, article: int) -> range:
        return self._index.chunk_range(article)

    def article(self, number: int) -> Article:
        return self._index.article(number)

    def article_by_id(self, article_id: str) -> Article | None:
        number = self.number_of(article_id)
        return self._index.article(number) if number is not None else None

    def chunk(self, number: int) -> tuple[str, slice, frozenset[str]]:
        return self._index.chunk(number)

    def _may_be_seen(self, number: int) -> bool:
        return number < self._articles and number not in self._hidden


def _without(found: dict[int, float], hidden: frozenset[int], limit: int) -> dict[int, float]:
    """In the order of the index: the best first."""
    if not hidden:
        return found
    seen = [(number, score) for number, score in found.items() if number not in hidden]
    return dict(seen[:limit])
