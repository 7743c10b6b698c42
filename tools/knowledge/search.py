"""
Find the passages that answer a question, in the local index and nowhere else.

Opens, replaces and closes the indexes, and goes on without vectors; how articles are ranked stands in
`tools.knowledge.ranking`.
"""

import asyncio
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from core.clock import Clock, SystemClock
from core.errors import DependencyUnavailable
from core.explanation import used
from core.identity import Audience
from core.ids import new_id
from core.records import Article, SearchResult
from core.telemetry.logging import get_logger
from tools.knowledge.codes import codes, ids
from tools.knowledge.embed import Embedder
from tools.knowledge.folder import IndexFolder, Signature, Stamp
from tools.knowledge.index import Index, Manifest
from tools.knowledge.question import question_vector
from tools.knowledge.ranking import Question, Ranking, Weights
from tools.knowledge.view import View
from tools.knowledge.words import terms

T = TypeVar("T")

_WEIGHTS = Weights()

_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Reader:
    """Who asks, and in which languages alone, if in any."""

    audience: Audience
    languages: Collection[str] = ()


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
        weights: Weights = _WEIGHTS,
        clock: Clock | None = None,
    ) -> None:
        self._data_dir = data_dir
        self._embedder = embedder
        self._has_articles = has_articles
        self._weights = weights
        self._clock = clock or SystemClock()
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
        self,
        tenant: str,
        words: str,
        *,
        limit: int,
        language: str | None = None,
        context: Sequence[str] = (),
        replies: Sequence[str] = (),
        audience: Audience = Audience.PUBLIC,
        languages: Collection[str] = (),
    ) -> SearchResult:
        """As the port says. `INTERNAL` is answered as `CUSTOMER`: who asks through the port asks for a customer."""
        reader = _Reader(Audience.CUSTOMER if audience is Audience.INTERNAL else audience, languages)
        return await self._found(
            tenant, words, reader, limit=limit, language=language, context=context, replies=replies
        )

    async def search_for_staff(
        self, tenant: str, words: str, *, limit: int, language: str | None = None
    ) -> SearchResult:
        """Internal articles too. For the company's own people at its own terminal: no tool has this."""
        return await self._found(tenant, words, _Reader(Audience.INTERNAL), limit=limit, language=language)

    async def _found(
        self,
        tenant: str,
        words: str,
        reader: _Reader,
        *,
        limit: int,
        language: str | None,
        context: Sequence[str] = (),
        replies: Sequence[str] = (),
    ) -> SearchResult:
        if not self._has_articles(tenant):
            return SearchResult()
        empty = self._empty.get(tenant)
        if empty is not None and empty.is_current:  # a look at one file, in place of a thread and a dozen
            return empty.result
        manifest = await self._in_worker(self._manifest, tenant)
        used("index", manifest.version)
        if not manifest.articles:  # the model would run for nothing
            return SearchResult(built_at=manifest.built_at)
        vector, has_failed = await question_vector(self._embedder, words, context)
        before = "\n".join(context)
        question = Question(
            words=tuple(terms(words)),
            codes=codes(words),
            ids=ids(words),
            context=tuple(terms(before)),
            codes_before=codes(before),
            messages=(words, *_newest_first(context, replies)),
            vector=vector,
            language=language,
            limit=limit,
        )
        return await self._in_worker(self._search, tenant, question, reader, has_failed)

    async def article(
        self, tenant: str, article_id: str, *, audience: Audience = Audience.PUBLIC
    ) -> Article | None:
        """The article as it was indexed, for checking quotes while SQL is down; None for one that may not be seen."""

        def read() -> Article | None:
            view = View(self._index(tenant), audience=audience, now=self._clock.now())
            return view.article_by_id(article_id)

        return await self._in_worker(read)

    async def holds_articles(self, tenant: str) -> bool:
        """
        Whether an index with anything in it is there to be searched.

        Raises:
            DependencyUnavailable: it is damaged, or was never built.
        """
        return self._has_articles(tenant) and (await self._in_worker(self._manifest, tenant)).articles > 0

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

    def _search(self, tenant: str, question: Question, reader: _Reader, has_failed: bool) -> SearchResult:
        index = self._index(tenant)
        vector = question.vector
        if (
            vector is not None
            and self._embedder is not None
            and index.manifest.embedder != self._embedder.name
        ):
            vector, has_failed = None, True
        has_failed = has_failed or (vector is not None and bool(index.manifest.unembedded))
        view = View(index, audience=reader.audience, now=self._clock.now(), languages=reader.languages)
        found = () if view.is_empty else Ranking(view, question, vector, self._weights).passages()
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


def _newest_first(context: Sequence[str], replies: Sequence[str]) -> tuple[str, ...]:
    """Both took turns, and the last word before the question was a reply."""
    pairs = zip_longest(reversed(replies), reversed(context))
    return tuple(message for pair in pairs for message in pair if message)
