"""
What the knowledge base needs to have kept: the articles, and the vectors that were paid for already.

SQL is the authority (`state.sql.knowledge`); the index that is searched is built from it and may be lost.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

from core.records import Article


class ArticleStore(Protocol):
    """
    Articles by (tenant, article_id), and a counter for each tenant that grows with every change.

    Raises DependencyError ("sql") when the store cannot be asked.
    """

    async def version(self, tenant: str) -> int:
        """0 as long as nothing was ever kept."""
        ...

    async def all(self, tenant: str) -> Sequence[Article]:
        """In the order of their ids."""
        ...

    async def put(self, tenant: str, changed: Sequence[Article]) -> None:
        """Insert, or write over those with the same id; all or nothing."""
        ...

    async def remove(self, tenant: str, article_ids: Sequence[str]) -> None:
        """Unknown ids are passed over."""
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
