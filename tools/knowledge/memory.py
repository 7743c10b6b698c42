"""
Keep articles and vectors for as long as the process lives: for trials, benchmarks and tests.
"""

from collections.abc import Mapping, Sequence

from core.records import Article


class MemoryArticles:
    def __init__(self) -> None:
        self._articles: dict[str, dict[str, Article]] = {}
        self._versions: dict[str, int] = {}

    async def tenants(self) -> Sequence[str]:
        return tuple(self._articles)

    async def version(self, tenant: str) -> int:
        return self._versions.get(tenant, 0)

    async def all(self, tenant: str) -> Sequence[Article]:
        return tuple(article for _, article in sorted(self._articles.get(tenant, {}).items()))

    async def put(self, tenant: str, changed: Sequence[Article]) -> None:
        if changed:
            self._articles.setdefault(tenant, {}).update({article.article_id: article for article in changed})
            self._versions[tenant] = self._versions.get(tenant, 0) + 1

    async def remove(self, tenant: str, article_ids: Sequence[str]) -> None:
        if article_ids:
            for article_id in article_ids:
                self._articles.get(tenant, {}).pop(article_id, None)
            self._versions[tenant] = self._versions.get(tenant, 0) + 1


class MemoryEmbeddings:
    def __init__(self) -> None:
        self._vectors: dict[tuple[str, str], bytes] = {}

    async def get_many(self, model: str, content_hashes: Sequence[str]) -> Mapping[str, bytes]:
        return {key: self._vectors[model, key] for key in content_hashes if (model, key) in self._vectors}

    async def put_many(self, model: str, vectors: Mapping[str, bytes]) -> None:
        for key, vector in vectors.items():
            self._vectors.setdefault((model, key), vector)
