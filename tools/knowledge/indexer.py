"""
Build a tenant's local index from the stored articles, and again when they change or its files are lost.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np

from core.clock import Clock
from core.errors import CarelineError, DependencyUnavailable
from core.ids import digest, new_id
from core.records import Article
from core.telemetry.logging import get_logger
from tools.knowledge.embed import DEPENDENCY as VECTORS
from tools.knowledge.embed import Embedder
from tools.knowledge.folder import IndexFolder, Signature
from tools.knowledge.index import (
    ArticleVectors,
    Index,
    IndexedArticle,
    Manifest,
    cut,
    read_manifest,
    text_to_embed,
    title_to_embed,
    write_index,
)
from tools.knowledge.store import ArticleStore, EmbeddingCache

Progress = Callable[[int, int], None]
"""Told (texts embedded, texts to embed) after each step."""

_EMBEDDED_AT_ONCE = 32  # about a second's work, then it is kept: an interrupted build goes on from there
_READ_AT_ONCE = 2000  # vectors, 3 MB: what the database's time limit leaves room for

_log = get_logger(__name__)


class Indexer:
    """Where `embedder` is None the index is one of words alone."""

    def __init__(
        self,
        store: ArticleStore,
        cache: EmbeddingCache,
        embedder: Embedder | None,
        data_dir: Path,
        *,
        clock: Clock,
    ) -> None:
        self._store = store
        self._cache = cache
        self._embedder = embedder
        self._data_dir = data_dir
        self._clock = clock
        self._intact: dict[str, Signature] = {}

    async def embed(self, articles: Sequence[Article], progress: Progress | None = None) -> int:
        """
        Make and keep the vectors that the cache does not know yet. Returns how many that were.

        Raises:
            DependencyUnavailable: ("vectors") the model cannot be run.
        """
        if self._embedder is None:
            return 0
        texts = {_key(text): text for text in _texts(await asyncio.to_thread(cut, articles))}
        known = await self._cached(self._embedder.name, list(texts))
        missing = [(key, text) for key, text in texts.items() if key not in known]
        for start in range(0, len(missing), _EMBEDDED_AT_ONCE):
            some = missing[start : start + _EMBEDDED_AT_ONCE]
            vectors = await self._embedder.embed([text for _, text in some])
            made = {
                key: vector.astype("<f4").tobytes() for (key, _), vector in zip(some, vectors, strict=True)
            }
            await self._cache.put_many(self._embedder.name, made)
            if progress is not None:
                progress(start + len(some), len(missing))
        return len(missing)

    async def build(self, tenant: str) -> Manifest:
        """Make an index of what is stored now the current one; by words alone while vectors are down."""
        # The version first: if articles change between the reads, the index counts as old and is built again.
        version = await self._store.version(tenant)
        articles = await self._store.all(tenant)
        indexed = await asyncio.to_thread(cut, articles)
        try:
            await self.embed(articles)
            vectors = await self._vectors(indexed)
        except DependencyUnavailable as exc:
            if exc.dependency != VECTORS:
                raise
            _log.warning("knowledge.built_without_vectors", tenant=tenant, error=str(exc))
            vectors = None
        manifest = await asyncio.to_thread(self._write, tenant, indexed, vectors, version)
        _log.info(
            "knowledge.index_built",
            tenant=tenant,
            version=manifest.version,
            articles=manifest.articles,
            chunks=manifest.chunks,
            embedder=manifest.embedder,
        )
        return manifest

    async def refresh(self, tenant: str) -> bool:
        """Build if the index is missing, damaged, not of the articles' version, or could have vectors now."""
        version = await self._store.version(tenant)
        manifest = await asyncio.to_thread(self._intact_manifest, tenant)
        if manifest is not None and manifest.version == version:
            if self._embedder is None or manifest.embedder == self._embedder.name:
                return False
            await self._embedder.embed([new_id("check")])
        await self.build(tenant)
        return True

    async def refresh_all(self, tenants: Iterable[str]) -> None:
        """Every tenant that can be; what fails is logged, and tried again with the next call."""
        for tenant in tenants:
            try:
                await self.refresh(tenant)
            except (CarelineError, OSError) as exc:
                _log.warning("knowledge.refresh_failed", tenant=tenant, error=str(exc))

    async def _vectors(self, indexed: Sequence[IndexedArticle]) -> ArticleVectors | None:
        if self._embedder is None:
            return None
        chunks: list[str | None] = [_key(text) for text in _chunk_texts(indexed)]
        titles = [_key(title) if (title := title_to_embed(one.article)) else None for one in indexed]
        keys = [*chunks, *titles]
        known = await self._cached(self._embedder.name, [key for key in dict.fromkeys(keys) if key])
        vectors = np.zeros((len(keys), self._embedder.dimension), np.float32)
        for row, key in enumerate(keys):
            if key is not None:
                vectors[row] = np.frombuffer(known[key], "<f4")
        return ArticleVectors(chunks=vectors[: len(chunks)], titles=vectors[len(chunks) :])

    async def _cached(self, model: str, keys: Sequence[str]) -> dict[str, bytes]:
        known: dict[str, bytes] = {}
        for start in range(0, len(keys), _READ_AT_ONCE):
            known |= await self._cache.get_many(model, keys[start : start + _READ_AT_ONCE])
        return known

    def _write(
        self, tenant: str, indexed: Sequence[IndexedArticle], vectors: ArticleVectors | None, version: int
    ) -> Manifest:
        embedder = self._embedder.name if self._embedder is not None else None
        with IndexFolder(self._data_dir, tenant).building() as folder:
            return write_index(
                folder, indexed, vectors, version=version, embedder=embedder, built_at=self._clock.now()
            )

    def _intact_manifest(self, tenant: str) -> Manifest | None:
        """None for files that cannot be used. They are read whole only when something was done to them."""
        folder = IndexFolder(self._data_dir, tenant)
        try:
            signature = folder.signature()
            if self._intact.get(tenant) != signature:
                Index(folder.current()).close()
                self._intact[tenant] = signature
            return read_manifest(folder.current())
        except DependencyUnavailable:
            return None


def _texts(indexed: Sequence[IndexedArticle]) -> list[str]:
    titles = (title_to_embed(one.article) for one in indexed)
    return [*_chunk_texts(indexed), *(title for title in titles if title)]


def _chunk_texts(indexed: Iterable[IndexedArticle]) -> list[str]:
    return [text_to_embed(one.article, chunk) for one in indexed for chunk in one.chunks]


def _key(text: str) -> str:
    return digest(text).hex()
