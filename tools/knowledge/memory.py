"""
Keep articles, vectors and pages for as long as the process lives: for trials, benchmarks and tests.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from core.clock import Clock, SystemClock
from core.errors import NotFound
from core.records import Article, Release

_KEPT_VERSIONS = 10


@dataclass(slots=True)
class _Shelf:
    """`by_version` has each released version whole."""

    articles: dict[str, Article] = field(default_factory=dict)
    releases: list[Release] = field(default_factory=list)
    by_version: dict[int, tuple[Article, ...]] = field(default_factory=dict)
    served: int = 0
    has_changed: bool = False

    @property
    def coming(self) -> int:
        return self.releases[-1].version + 1 if self.releases else 1


class MemoryArticles:
    def __init__(self, *, clock: Clock | None = None) -> None:
        self._shelves: dict[str, _Shelf] = {}
        self._clock = clock or SystemClock()

    async def tenants(self) -> Sequence[str]:
        return tuple(self._shelves)

    async def version(self, tenant: str) -> int:
        return self._shelf(tenant).served

    async def at(self, tenant: str, version: int) -> Sequence[Article]:
        return self._shelf(tenant).by_version.get(version, ())

    async def all(self, tenant: str) -> Sequence[Article]:
        return tuple(article for _, article in sorted(self._shelf(tenant).articles.items()))

    async def put(self, tenant: str, changed: Sequence[Article], *, release: bool = True) -> None:
        if changed:
            shelf = self._shelves.setdefault(tenant, _Shelf())
            for article in changed:
                kept = msgspec.structs.replace(article, version=shelf.coming)
                shelf.articles[article.article_id] = kept
            shelf.has_changed = True
            if release:
                await self.release(tenant, note="")

    async def remove(self, tenant: str, article_ids: Sequence[str], *, release: bool = True) -> None:
        if article_ids:
            shelf = self._shelves.setdefault(tenant, _Shelf())
            for article_id in article_ids:
                shelf.articles.pop(article_id, None)
            shelf.has_changed = True
            if release:
                await self.release(tenant, note="")

    async def release(self, tenant: str, *, note: str) -> int | None:
        shelf = self._shelf(tenant)
        if not shelf.has_changed:
            return None
        version = shelf.served = shelf.coming
        shelf.by_version[version] = tuple(await self.all(tenant))
        shelf.releases.append(Release(version, self._clock.now(), len(shelf.articles), note))
        shelf.has_changed = False
        for old in shelf.releases[:-_KEPT_VERSIONS]:
            del shelf.by_version[old.version]
        del shelf.releases[:-_KEPT_VERSIONS]
        return version

    async def releases(self, tenant: str) -> Sequence[Release]:
        shelf = self._shelf(tenant)
        return tuple(
            msgspec.structs.replace(each, is_served=each.version == shelf.served)
            for each in reversed(shelf.releases)
        )

    async def serve(self, tenant: str, version: int) -> None:
        shelf = self._shelf(tenant)
        if version not in shelf.by_version:
            raise NotFound(f"tenant {tenant} has no version {version} of its knowledge base any more")
        shelf.served = version

    def _shelf(self, tenant: str) -> _Shelf:
        return self._shelves.get(tenant) or _Shelf()


class MemoryEmbeddings:
    def __init__(self) -> None:
        self._vectors: dict[tuple[str, str], bytes] = {}

    async def get_many(self, model: str, content_hashes: Sequence[str]) -> Mapping[str, bytes]:
        return {key: self._vectors[model, key] for key in content_hashes if (model, key) in self._vectors}

    async def put_many(self, model: str, vectors: Mapping[str, bytes]) -> None:
        for key, vector in vectors.items():
            self._vectors.setdefault((model, key), vector)


class MemoryPages:
    def __init__(self) -> None:
        self._pages: dict[tuple[str, str], dict[str, bytes]] = {}

    async def of(self, tenant: str, source: str) -> Mapping[str, bytes]:
        return dict(self._pages.get((tenant, source), {}))

    async def keep(self, tenant: str, source: str, pages: Mapping[str, bytes]) -> None:
        self._pages.setdefault((tenant, source), {}).update(pages)

    async def forget(self, tenant: str, source: str, urls: Sequence[str]) -> None:
        for url in urls:
            self._pages.get((tenant, source), {}).pop(url, None)
