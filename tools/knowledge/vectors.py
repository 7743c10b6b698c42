"""
Write the vectors of an index to its folder, a part after the other: all at once they would not fit into a small machine's memory.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from core.ids import digest
from tools.knowledge.embed import Vectors
from tools.knowledge.index import (
    ARTICLE_VECTORS,
    CHUNK_VECTORS,
    IndexedArticle,
    text_to_embed,
    title_to_embed,
)

_TEXTS_AT_ONCE = 2000  # vectors of these are 3 MB: what the database's time limit leaves room for


def key_of(text: str) -> str:
    """What a text's vector is kept under."""
    return digest(text).hex()


def texts_of(one: IndexedArticle) -> list[str]:
    """Of each chunk, then the title if there is one."""
    title = title_to_embed(one.article)
    return [*(text_to_embed(one.article, chunk) for chunk in one.chunks), *((title,) if title else ())]


def parts(articles: Sequence[IndexedArticle]) -> Iterator[Sequence[IndexedArticle]]:
    """The articles, so many together as make sense to be asked for and written at once."""
    start = texts = 0
    for place, one in enumerate(articles):
        texts += len(one.chunks) + 1
        if texts >= _TEXTS_AT_ONCE:
            yield articles[start : place + 1]
            start, texts = place + 1, 0
    if start < len(articles):
        yield articles[start:]


class VectorFiles:
    """A row for each chunk, and for each article one of what it is about as a whole: its title and its text."""

    def __init__(self, folder: Path, articles: Sequence[IndexedArticle], *, dimension: int) -> None:
        self._chunks = _file(folder / CHUNK_VECTORS, sum(len(one.chunks) for one in articles), dimension)
        self._articles = _file(folder / ARTICLE_VECTORS, len(articles), dimension)
        self._dimension = dimension
        self._chunk = self._article = 0
        self.embedded = self.unembedded = 0

    def add(self, part: Sequence[IndexedArticle], known: Mapping[str, bytes]) -> None:
        """The next articles. A text that has no vector yet gets zeros, which are near nothing."""
        chunks = np.stack([self._vector(key_of(text), known) for one in part for text in _chunk_texts(one)])
        titles = np.stack([self._title(one, known) for one in part])
        self._chunks[self._chunk : self._chunk + len(chunks)] = chunks
        self._articles[self._article : self._article + len(titles)] = _abouts(part, chunks, titles)
        self._chunk += len(chunks)
        self._article += len(titles)

    def close(self) -> None:
        for file in (self._chunks, self._articles):
            if isinstance(file, np.memmap):
                file.flush()

    def _title(self, one: IndexedArticle, known: Mapping[str, bytes]) -> Vectors:
        title = title_to_embed(one.article)
        return self._vector(key_of(title), known) if title else np.zeros(self._dimension, np.float32)

    def _vector(self, key: str, known: Mapping[str, bytes]) -> Vectors:
        stored = known.get(key)
        if stored is None:
            self.unembedded += 1
            return np.zeros(self._dimension, np.float32)
        self.embedded += 1
        return np.frombuffer(stored, "<f4").astype(np.float32)


def _chunk_texts(one: IndexedArticle) -> list[str]:
    return [text_to_embed(one.article, chunk) for chunk in one.chunks]


def _file(path: Path, rows: int, dimension: int) -> Vectors:
    if not rows:  # no system maps nothing
        np.save(path, np.empty((0, dimension), np.float32))
        return np.empty((0, dimension), np.float32)
    file: Vectors = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=(rows, dimension))
    return file


def _abouts(articles: Sequence[IndexedArticle], chunks: Vectors, titles: Vectors) -> Vectors:
    """
    The mean of an article's chunks, of length 1, plus its title; twice the mean where there is no title.

    A product with the sum is the sum of both cosines, so a search pays for one.
    """
    first = np.cumsum([0, *(len(one.chunks) for one in articles)])[:-1]
    means = np.add.reduceat(chunks, first, axis=0)
    means /= np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-9)
    has_title = titles.any(axis=1, keepdims=True)
    abouts: Vectors = means + np.where(has_title, titles, means)
    return abouts
