"""
Find the passages that answer a question, in the local index and nowhere else.

The score is words (BM25) and meaning (cosine), each put on 0…1 over the candidates of this one question: their own
scales say nothing to each other. Articles are ranked; the passage is the best chunk.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import numpy as np

from core.errors import DependencyError, DependencyUnavailable
from core.ids import new_id
from core.records import Article, Passage, SearchResult
from core.telemetry.logging import get_logger
from tools.knowledge.embed import Embedder, Vectors
from tools.knowledge.folder import IndexFolder, Signature, Stamp
from tools.knowledge.index import Index, Manifest
from tools.knowledge.words import terms

T = TypeVar("T")

_CANDIDATES = 50
_CHUNK_CANDIDATES = 400
_WORDS_SHARE = 0.4
"""
Of the score, where there are vectors; and an article is near a question by its nearest chunk, and as much by what it is
about as a whole. Both from the development questions and the titles of `python -m bench.retrieval`, in the middle of a
plateau.
"""

_CONTEXT_SHARE = 0.5
_CONTEXT_VECTOR_SHARE = 0.65
_CONTEXT_DECAY = 0.7
"""
Shares of what was said before, in words and in meaning, and of a message against the one after it: a plateau on MTRAG-UN and
DSTC11 (`python -m bench.context`).
"""

_MOST_CONTEXT_TERMS = 16  # a term costs time with every article that has it; 48 found nothing more
_SAME_LANGUAGE = 0.1
_NOTHING_IN_COMMON = 0.1
"""A cosine below this, with no word in common, is chance: unrelated texts lie around 0."""

_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Question:
    words: tuple[str, ...]
    context: tuple[str, ...]
    vector: Vectors | None
    language: str | None
    limit: int


@dataclass(frozen=True, slots=True)
class _Opened:
    """`index` is None for files that were found damaged, so that not every question reads them again."""

    signature: Signature
    index: Index | None


@dataclass(frozen=True, slots=True)
class _Empty:
    """An index of nothing, for as long as the pointer to it is the same."""

    folder: IndexFolder
    pointer: Stamp
    result: SearchResult

    @property
    def is_current(self) -> bool:
        return self.folder.pointer() == self.pointer


class LocalKnowledge:
    """
    `tools.ports.KnowledgeSearch` over the indexes under `data_dir`; goes on without SQL, network and vectors.

    An index that is replaced, damaged or taken away is noticed by the next question. Without an embedder the
    search is by words, and that is not reported as a loss: nothing is down. A tenant of which `has_articles` knows
    nothing is searched for nothing: its name may come from a token, and must not count as an index that was lost.
    """

    def __init__(
        self,
        data_dir: Path,
        embedder: Embedder | None,
        *,
        has_articles: Callable[[str], bool] = lambda _: True,
    ) -> None:
        self._data_dir = data_dir
        self._embedder = embedder
        self._has_articles = has_articles
        self._opened: dict[str, _Opened] = {}
        self._empty: dict[str, _Empty] = {}
        # One thread, so that no index is closed under a question; each takes about a millisecond.
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="knowledge")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._in_worker(self._close)
        self._worker.shutdown(wait=False)

    async def search(
        self, tenant: str, words: str, *, limit: int, language: str | None = None, context: Sequence[str] = ()
    ) -> SearchResult:
        if not self._has_articles(tenant):
            return SearchResult()
        empty = self._empty.get(tenant)
        if empty is not None and empty.is_current:  # a look at one file, in place of a thread and a dozen
            return empty.result
        manifest = await self._in_worker(self._manifest, tenant)
        if not manifest.articles:  # the model would run for nothing
            return SearchResult(built_at=manifest.built_at)
        vector, has_failed = await self._vector(words, context)
        question = _Question(tuple(terms(words)), tuple(terms("\n".join(context))), vector, language, limit)
        return await self._in_worker(self._search, tenant, question, has_failed)

    async def article(self, tenant: str, article_id: str) -> Article | None:
        """The article as it was indexed, for checking quotes while SQL is down."""
        return await self._in_worker(lambda: self._index(tenant).article_by_id(article_id))

    async def check(self, tenant: str) -> None:
        """Ask the index something, for health checks; raises as `search` does."""
        await self._in_worker(lambda: self._index(tenant).check())

    async def check_vectors(self) -> None:
        """
        Raises:
            DependencyUnavailable: ("vectors") there is a model, and it does not work.
        """
        if self._embedder is not None:
            await self._embedder.embed([new_id("check")])  # never the same text: that would be remembered

    async def _in_worker(self, call: Callable[..., T], *values: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._worker, call, *values)

    async def _vector(self, words: str, context: Sequence[str]) -> tuple[Vectors | None, bool]:
        """The question's vector, and whether there ought to be one."""
        if self._embedder is None or not words.strip():
            return None, False
        earlier = [text for text in context if text.strip()]
        try:
            # Message by message: the embedder remembers those of the turns before, so a long conversation costs no more.
            vector, *before = await self._embedder.embed([words, *earlier])
        except DependencyError as exc:
            _log.warning("knowledge.searched_without_vectors", error=str(exc))
            return None, True
        return _in_context(vector, before), False

    def _search(self, tenant: str, question: _Question, has_failed: bool) -> SearchResult:
        index = self._index(tenant)
        vector = question.vector
        if (
            vector is not None
            and self._embedder is not None
            and index.manifest.embedder != self._embedder.name
        ):
            vector, has_failed = None, True
        found = _Ranking(index, question, vector).passages() if index.manifest.articles else ()
        return SearchResult(passages=found, is_lexical_only=has_failed, built_at=index.manifest.built_at)

    def _manifest(self, tenant: str) -> Manifest:
        folder = IndexFolder(self._data_dir, tenant)
        pointer = folder.pointer()  # read first: an index that comes now has another
        manifest = self._index(tenant).manifest
        if manifest.articles or pointer is None:
            self._empty.pop(tenant, None)
        else:
            self._empty[tenant] = _Empty(folder, pointer, SearchResult(built_at=manifest.built_at))
        return manifest

    def _index(self, tenant: str) -> Index:
        folder = IndexFolder(self._data_dir, tenant)
        signature = folder.signature()
        opened = self._opened.get(tenant)
        if opened is None or opened.signature != signature:
            if opened is not None and opened.index is not None:
                opened.index.close()
            self._opened[tenant] = opened = _Opened(signature, None)
            try:
                self._opened[tenant] = opened = _Opened(signature, Index(folder.current()))
            except DependencyUnavailable as exc:
                _log.error("knowledge.index_damaged", tenant=tenant, folder=signature[0], error=str(exc))
                raise
        if opened.index is None:
            raise DependencyUnavailable("knowledge", "the index is damaged")
        return opened.index

    def _close(self) -> None:
        for opened in self._opened.values():
            if opened.index is not None:
                opened.index.close()
        self._opened.clear()


@dataclass(frozen=True, slots=True)
class Nearness:
    """Of a question to each chunk and each article (its best chunk), and what articles are ranked by."""

    chunk_cosines: Vectors
    article_cosines: Vectors
    of_articles: Vectors

    @classmethod
    def of(cls, index: Index, vector: Vectors) -> Self:
        chunk_cosines, as_wholes = index.cosines(vector)
        article_cosines = index.best_of_articles(chunk_cosines)
        return cls(chunk_cosines, article_cosines, article_cosines + as_wholes)


class _Ranking:
    """One question, asked of one index."""

    def __init__(self, index: Index, question: _Question, vector: Vectors | None) -> None:
        self._index = index
        self._question = question
        self._asked = index.weights(question.words)
        said = [word for word in question.context if word not in self._asked]
        self._said = index.weights(said, most=_MOST_CONTEXT_TERMS)
        self._near = Nearness.of(index, vector) if vector is not None else None

    def passages(self) -> tuple[Passage, ...]:
        scores = self._articles()
        best = sorted(scores, key=lambda number: (-scores[number], number))[: self._question.limit]
        if not best:
            return ()
        by_words = self._by_words(self._index.chunks_by_words, limit=_CHUNK_CANDIDATES)
        by_meaning = _on_unit_scale(self._near.chunk_cosines if self._near else None, limit=_CHUNK_CANDIDATES)
        passages = []
        for number in best:
            inside = self._index.chunk_range(number)
            chosen = max(inside, key=lambda chunk: by_words.get(chunk, 0.0) + by_meaning.get(chunk, 0.0))
            passages.append(self._passage(number, chosen, scores[number]))
        return tuple(
            found for found in passages if found.lexical or (found.cosine or 0.0) > _NOTHING_IN_COMMON
        )

    def _articles(self) -> dict[int, float]:
        by_words = self._by_words(self._index.articles_by_words, limit=_CANDIDATES)
        by_meaning = _on_unit_scale(self._near.of_articles if self._near else None, limit=_CANDIDATES)
        share = _WORDS_SHARE if self._near else 1.0
        language = (self._question.language or "").split("-")[0].lower()
        return {
            number: share * by_words.get(number, 0.0)
            + (1 - share) * by_meaning.get(number, 0.0)
            + (_SAME_LANGUAGE if self._index.languages[number] == language else 0.0)
            for number in by_words.keys() | by_meaning.keys()
        }

    def _by_words(self, ask: Callable[..., dict[int, float]], *, limit: int) -> dict[int, float]:
        """BM25 is a sum over terms, so earlier words are added with a smaller share. The best gets 1."""
        found = ask(list(self._asked), limit=limit)
        for number, score in ask(list(self._said), limit=limit).items():
            found[number] = found.get(number, 0.0) + _CONTEXT_SHARE * score
        top = max(found.values(), default=0.0)
        return {number: score / top for number, score in found.items()} if top > 0 else {}

    def _passage(self, number: int, chunk: int, score: float) -> Passage:
        article = self._index.article(number)
        heading, where, words = self._index.chunk(chunk)
        return Passage(
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


def _in_context(vector: Vectors, before: Sequence[Vectors]) -> Vectors:
    """The question's direction, drawn towards what was said before it: the older the less."""
    if before:
        older = sum(_CONTEXT_DECAY**age * earlier for age, earlier in enumerate(reversed(before)))
        vector = vector + _CONTEXT_VECTOR_SHARE * older / np.linalg.norm(older)
    return vector / np.linalg.norm(vector)


def _on_unit_scale(values: Vectors | None, *, limit: int) -> dict[int, float]:
    """The best `limit` by number: the best of them gets 1, the last 0."""
    if values is None or not len(values):
        return {}
    best = np.argpartition(-values, limit - 1)[:limit] if len(values) > limit else np.arange(len(values))
    top, floor = float(values[best].max()), float(values[best].min())
    span = top - floor
    return {int(number): (float(values[number]) - floor) / span if span > 1e-6 else 1.0 for number in best}


def _share_found(asked: Mapping[str, float], words: Set[str]) -> float:
    whole = sum(asked.values())
    return sum(weight for word, weight in asked.items() if word in words) / whole if whole else 0.0
