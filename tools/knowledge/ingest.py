"""
Bring the articles of a source into the knowledge base: store what changed, drop what is gone, build the index.

All of a run is served at once, when the last of it is stored. One that is interrupted is completed by the next.
"""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import msgspec

from core.clock import Clock
from core.errors import DependencyUnavailable
from core.records import Article
from tools.knowledge.article import NO_TERMS, Failure, Kept, Terms
from tools.knowledge.embed import DEPENDENCY as VECTORS
from tools.knowledge.indexer import Indexer
from tools.knowledge.read import read_articles
from tools.knowledge.store import ArticleStore

_STORED_AT_ONCE = 200  # a transaction that the database's time limit leaves room for
_READ_AT_ONCE = 20  # files, between two looks at whether the run was given up


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
    `version` is the new version of the knowledge base; None where nothing changed. `rolled_back_to` is the version that goes on
    being served then, because somebody went back to it.
    """

    added: int = 0
    changed: int = 0
    unchanged: int = 0
    removed: int = 0
    embedded_texts: int = 0
    failed: tuple[tuple[str, str], ...] = ()
    held_back: tuple[tuple[str, int], ...] = ()
    is_without_vectors: bool = False
    version: int | None = None
    rolled_back_to: int | None = None


class Source(Protocol):
    """Where articles come from. Whatever of its `name` is stored and does not come any more is gone."""

    @property
    def name(self) -> str: ...

    def articles(self, known: Mapping[str, Article]) -> AsyncIterator[Article | Failure | Kept]:
        """In a stable order. `known` are the stored ones, by their ids."""
        ...


class Files:
    """Files and folders. `prefix` goes before the articles' ids."""

    def __init__(
        self, name: str, roots: Sequence[Path], *, prefix: str = "", terms: Terms = NO_TERMS
    ) -> None:
        self.name = name
        self._roots = roots
        self._prefix = prefix
        self._terms = terms

    async def articles(self, known: Mapping[str, Article]) -> AsyncIterator[Article | Failure | Kept]:
        read = itertools.chain.from_iterable(
            read_articles(root, source=self.name, prefix=self._prefix, terms=self._terms)
            for root in self._roots
        )
        while some := await asyncio.to_thread(list, itertools.islice(read, _READ_AT_ONCE)):
            for one in some:
                yield one


class Together:
    """Several places that are one source: what none of them has any more is gone."""

    def __init__(self, name: str, sources: Sequence[Source]) -> None:
        self.name = name
        self._sources = sources

    async def articles(self, known: Mapping[str, Article]) -> AsyncIterator[Article | Failure | Kept]:
        for source in self._sources:
            async for one in source.articles(known):
                yield one


@dataclass(slots=True)
class _Plan:
    """What a source's articles come to, against what is stored. `unchanged` and `read` count articles."""

    source: str
    fresh: list[Article] = field(default_factory=list)
    seen: set[str] = field(default_factory=set)
    added: int = 0
    changed: int = 0
    unchanged: int = 0
    removed: int = 0
    held_back: int = 0
    failures: list[Failure] = field(default_factory=list)


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
        terms: Terms = NO_TERMS,
    ) -> IngestReport:
        """
        Make the articles of each path what its files are now. The same files again change and embed nothing.

        Each path is a source of its own, known by its absolute path: an article that is no longer under it is
        removed, those of other paths are left alone. A `source` given by name takes all paths together and
        goes before their ids (`name/…`), so that two folders may have files of the same name.

        Raises:
            DependencyError: ("sql") not everything was stored; the same call again completes it.
        """
        return await self.take_in(files_of(paths, source=source, terms=terms), tenant, progress)

    async def take_in(
        self, sources: Sequence[Source], tenant: str, progress: Progress | None = None
    ) -> IngestReport:
        """As `run`, of any sources."""
        tell: Progress = progress or _tell_nobody
        known = {article.article_id: article for article in await self._store.all(tenant)}
        plans: list[_Plan] = []
        for each in sources:
            read = sum(len(plan.seen) for plan in plans)
            plans.append(await self._store_all(each, tenant, known, lambda done: tell("read", done, 0), read))
        read = sum(len(plan.seen) for plan in plans)
        tell("read", read, read)
        embedded, is_without_vectors = 0, False
        try:
            embedded = await self._indexer.embed(
                await self._unreleased(tenant), lambda done, whole: tell("embed", done, whole)
            )
        except DependencyUnavailable as exc:
            if exc.dependency != VECTORS:
                raise
            is_without_vectors = True
        tell("index", 0, 1)
        version = await self._store.release(tenant, note=_note(plans))
        await self._indexer.refresh(tenant)
        tell("index", 1, 1)
        return IngestReport(
            added=sum(plan.added for plan in plans),
            changed=sum(plan.changed for plan in plans),
            unchanged=sum(plan.unchanged for plan in plans),
            removed=sum(plan.removed for plan in plans),
            embedded_texts=embedded,
            failed=tuple((failure.name, failure.why) for plan in plans for failure in plan.failures),
            held_back=tuple((plan.source, plan.held_back) for plan in plans if plan.held_back),
            is_without_vectors=is_without_vectors,
            version=version,
            rolled_back_to=await self._rolled_back_to(tenant) if version is None else None,
        )

    async def _store_all(
        self, source: Source, tenant: str, known: dict[str, Article], tell: Callable[[int], None], read: int
    ) -> _Plan:
        plan = _Plan(source.name)
        async for one in source.articles(known):
            if isinstance(one, Failure):
                plan.failures.append(one)
                continue
            self._compare(plan, one, known)
            tell(read + len(plan.seen))
            if len(plan.fresh) >= _STORED_AT_ONCE:
                await self._store_fresh(plan, tenant, known)
        await self._store_fresh(plan, tenant, known)
        missing = _missing(known.values(), plan)
        # A failure without an id may be any article, so then nothing is gone.
        if any(failure.article_id is None for failure in plan.failures):
            plan.held_back = len(missing)
        else:
            await self._store.remove(tenant, missing, release=False)
            plan.removed = len(missing)
            for article_id in missing:
                del known[article_id]
        return plan

    def _compare(self, plan: _Plan, one: Article | Kept, known: Mapping[str, Article]) -> None:
        before = known.get(one.article_id)
        if one.article_id in plan.seen:
            plan.failures.append(_refused(one.article_id, "another file here"))
        elif before is not None and before.source != plan.source:
            plan.failures.append(_refused(one.article_id, before.source))
        elif isinstance(one, Kept) or (before is not None and before.content_hash == one.content_hash):
            plan.unchanged += 1
        else:
            plan.fresh.append(msgspec.structs.replace(one, updated_at=self._clock.now()))
            plan.added += before is None
            plan.changed += before is not None
        plan.seen.add(one.article_id)

    async def _store_fresh(self, plan: _Plan, tenant: str, known: dict[str, Article]) -> None:
        await self._store.put(tenant, plan.fresh, release=False)
        known.update({article.article_id: article for article in plan.fresh})
        plan.fresh.clear()

    async def _unreleased(self, tenant: str) -> Sequence[Article]:
        """Of this run, and of those before it that did not come to their end."""
        newest = max((release.version for release in await self._store.releases(tenant)), default=0)
        return [article for article in await self._store.all(tenant) if article.version > newest]

    async def _rolled_back_to(self, tenant: str) -> int | None:
        releases = await self._store.releases(tenant)
        served = [release.version for release in releases if release.is_served]
        return served[0] if served and served[0] != releases[0].version else None


def files_of(paths: Sequence[Path], *, source: str | None = None, terms: Terms = NO_TERMS) -> Sequence[Files]:
    """One source for each path; one for all of them where it is given a name."""
    if source is not None:
        return (Files(source, paths, prefix=f"{source}/", terms=terms),)
    return tuple(Files(str(path.resolve()), [path], terms=terms) for path in dict.fromkeys(paths))


def _note(plans: Iterable[_Plan]) -> str:
    return "; ".join(
        f"{plan.source}: {plan.added} added, {plan.changed} changed, {plan.removed} removed"
        for plan in plans
        if plan.added or plan.changed or plan.removed
    )


def _refused(article_id: str, owner: str) -> Failure:
    why = f"{owner} has an article of this name: rename one, or give this source a name of its own"
    return Failure(article_id, why, article_id)


def _missing(known: Iterable[Article], plan: _Plan) -> list[str]:
    """What is stored of the source and was not found there, whether readable or not."""
    there: Set[str | None] = plan.seen | {failure.article_id for failure in plan.failures}
    return [one.article_id for one in known if one.source == plan.source and one.article_id not in there]


def _tell_nobody(phase: str, done: int, whole: int) -> None:
    pass
