"""
Bring what lies in files into the knowledge base: store what changed, drop what is gone, build the index.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import msgspec

from core.clock import Clock
from core.errors import DependencyUnavailable
from core.records import Article
from tools.knowledge.embed import DEPENDENCY as VECTORS
from tools.knowledge.indexer import Indexer
from tools.knowledge.read import Failure, read_articles
from tools.knowledge.store import ArticleStore

_STORED_AT_ONCE = 200  # a transaction that the database's time limit leaves room for


class Progress(Protocol):
    """How far a phase is: `read`, `embed` or `index`. `whole` is 0 while nobody knows."""

    def __call__(self, phase: str, done: int, whole: int) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestReport:
    """
    Numbers of articles, and of titles and chunks for which the model was run.

    `failed` are files (or lines) that did not go in, by name and reason; an earlier version of them stays.
    `held_back` are sources with the number of articles that were not found there and yet not removed, because
    what could not be read may be one of them.
    `is_without_vectors` says that the model did not run, so the new index finds words alone until it does.
    """

    added: int = 0
    changed: int = 0
    unchanged: int = 0
    removed: int = 0
    embedded_texts: int = 0
    failed: tuple[tuple[str, str], ...] = ()
    held_back: tuple[tuple[str, int], ...] = ()
    is_without_vectors: bool = False


@dataclass(slots=True)
class _Plan:
    """What a source's files come to, against what is stored. `unchanged` and `read` count articles."""

    source: str
    fresh: list[Article] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)
    held_back: int = 0
    failures: list[Failure] = field(default_factory=list)
    unchanged: int = 0
    read: int = 0


class Ingestion:
    def __init__(self, store: ArticleStore, indexer: Indexer, *, clock: Clock) -> None:
        self._store = store
        self._indexer = indexer
        self._clock = clock

    async def run(
        self,
        paths: Sequence[Path],
        tenant: str,
        progress: Progress | None = None,
        *,
        source: str | None = None,
    ) -> IngestReport:
        """
        Make the articles of each path what its files are now. The same files again change and embed nothing.

        Each path is a source of its own, known by its absolute path: an article that is no longer under it is
        removed, those of other paths are left alone. A `source` given by name takes all paths together and
        goes before their ids (`name/…`), so that two folders may have files of the same name.

        Raises:
            DependencyError: ("sql") not everything was stored; the same call again completes it.
        """
        tell: Progress = progress or _tell_nobody
        before = {article.article_id: article for article in await self._store.all(tenant)}
        sources = {source: list(paths)} if source else {str(path.resolve()): [path] for path in paths}
        prefix = f"{source}/" if source else ""
        known, plans = dict(before), []
        for name, roots in sources.items():
            plan = await asyncio.to_thread(self._plan, roots, name, prefix, known, tell=tell)
            known |= {article.article_id: article for article in plan.fresh}
            plans.append(plan)
        read = sum(plan.read for plan in plans)
        tell("read", read, read)
        fresh = [article for plan in plans for article in plan.fresh]
        gone = [article_id for plan in plans for article_id in plan.gone]

        embedded, is_without_vectors = 0, False
        try:
            embedded = await self._indexer.embed(fresh, lambda done, whole: tell("embed", done, whole))
        except DependencyUnavailable as exc:
            if exc.dependency != VECTORS:
                raise
            is_without_vectors = True
        for start in range(0, len(fresh), _STORED_AT_ONCE):
            await self._store.put(tenant, fresh[start : start + _STORED_AT_ONCE])
        await self._store.remove(tenant, gone)
        tell("index", 0, 1)
        await self._indexer.refresh(tenant)
        tell("index", 1, 1)

        return IngestReport(
            added=sum(article.article_id not in before for article in fresh),
            changed=sum(article.article_id in before for article in fresh),
            unchanged=sum(plan.unchanged for plan in plans),
            removed=len(gone),
            embedded_texts=embedded,
            failed=tuple((failure.name, failure.why) for plan in plans for failure in plan.failures),
            held_back=tuple((plan.source, plan.held_back) for plan in plans if plan.held_back),
            is_without_vectors=is_without_vectors,
        )

    def _plan(
        self,
        roots: Sequence[Path],
        source: str,
        prefix: str,
        known: Mapping[str, Article],
        *,
        tell: Progress,
    ) -> _Plan:
        plan = _Plan(source)
        seen: set[str] = set()
        for root in roots:
            for one in read_articles(root, source=source, prefix=prefix):
                if isinstance(one, Failure):
                    plan.failures.append(one)
                    continue
                before = known.get(one.article_id)
                if one.article_id in seen:
                    plan.failures.append(_refused(one, "another file here"))
                elif before is not None and before.source != source:
                    plan.failures.append(_refused(one, before.source))
                elif before is not None and before.content_hash == one.content_hash:
                    plan.unchanged += 1
                else:
                    plan.fresh.append(msgspec.structs.replace(one, updated_at=self._clock.now()))
                seen.add(one.article_id)
                plan.read += 1
                tell("read", plan.read, 0)
        missing = _missing(known.values(), source, seen, plan.failures)
        # A failure without an id may be any article, so then nothing is gone.
        if any(failure.article_id is None for failure in plan.failures):
            plan.held_back = len(missing)
        else:
            plan.gone = missing
        return plan


def _refused(article: Article, owner: str) -> Failure:
    why = f"{owner} has an article of this name: rename one, or give this source a name of its own"
    return Failure(article.article_id, why, article.article_id)


def _missing(known: Iterable[Article], source: str, seen: Set[str], failures: Sequence[Failure]) -> list[str]:
    """What is stored of the source and was not found there, whether readable or not."""
    there = seen | {failure.article_id for failure in failures}
    return [one.article_id for one in known if one.source == source and one.article_id not in there]


def _tell_nobody(phase: str, done: int, whole: int) -> None:
    pass
