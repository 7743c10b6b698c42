"""
What the knowledge base needs to have kept: the articles in their versions, the vectors that were paid for already, and what is
known of fetched pages.

SQL is the authority (`state.sql.knowledge`); the index that is searched is built from it and may be lost.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

from core.records import Article, Release


class ArticleStore(Protocol):
    """
    Articles by (tenant, article_id), in versions of the whole that are numbered from 1 for each tenant.

    Raises DependencyError ("sql") when the store cannot be asked.
    """

    async def version(self, tenant: str) -> int:
        """The one to serve: the newest, until a rollback says another. 0 as long as nothing was ever kept."""
        ...

    async def at(self, tenant: str, version: int) -> Sequence[Article]:
        """All that a version has, in the order of their ids."""
        ...

    async def all(self, tenant: str) -> Sequence[Article]:
        """As they were last written, whether released or not, in the order of their ids."""
        ...

    async def put(self, tenant: str, changed: Sequence[Article], *, release: bool = True) -> None:
        """
        Insert, or write over those with the same id; all or nothing.

        Without `release` it stays out of sight until somebody releases, so that many writes are seen at once.
        """
        ...

    async def remove(self, tenant: str, article_ids: Sequence[str], *, release: bool = True) -> None:
        """Unknown ids are passed over. `release` as in `put`."""
        ...

    async def release(self, tenant: str, *, note: str) -> int | None:
        """What was written since becomes the newest version, and the one to serve; None where nothing was."""
        ...

    async def releases(self, tenant: str) -> Sequence[Release]:
        """The versions that can be served, newest first."""
        ...

    async def serve(self, tenant: str, version: int) -> None:
        """
        Until the next release.

        Raises:
            NotFound: there is no such version, or no more.
        """
        ...


class EmbeddingCache(Protocol):
    """
    Vectors by model and digest of the text, for all tenants; there may be thousands in one call.

    A vector is little-endian float32, 4 bytes a dimension.
    """

    async def get_many(self, model: str, content_hashes: Sequence[str]) -> Mapping[str, bytes]:
        """Unknown ones are left out."""
        ...

    async def put_many(self, model: str, vectors: Mapping[str, bytes]) -> None:
        """Those that are there already keep what they have."""
        ...


class PageStore(Protocol):
    """What is known of fetched pages, by their addresses; the bytes mean something to `tools.knowledge.crawl` only."""

    async def of(self, tenant: str, source: str) -> Mapping[str, bytes]: ...

    async def keep(self, tenant: str, source: str, pages: Mapping[str, bytes]) -> None: ...

    async def forget(self, tenant: str, source: str, urls: Sequence[str]) -> None: ...
