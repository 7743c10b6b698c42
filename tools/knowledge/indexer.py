"""
Build a tenant's local index from the stored articles, and again when they change or its files are lost.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from core.clock import Clock
from core.errors import CarelineError, DependencyUnavailable
from core.ids import new_id
from core.records import Article
from core.telemetry.logging import get_logger
from tools.knowledge.embed import DEPENDENCY as VECTORS
from tools.knowledge.embed import Embedder
from tools.knowledge.folder import IndexFolder, Signature
from tools.knowledge.index import Index, IndexedArticle, Manifest, cut, read_manifest, write_index
from tools.knowledge.store import ArticleStore, EmbeddingCache
from tools.knowledge.vectors import VectorFiles, key_of, parts, texts_of

Progress = Callable[[int, int], None]
"""Told (texts embedded, texts to embed) after each step."""

_EMBEDDED_AT_ONCE = 32  # about a second's work, then it is kept: an interrupted build goes on from there
_ASKED_AT_ONCE = 2000  # keys
_EMBEDDED_IN_PASSING = 256  # about ten seconds' work; more is done beside the other tenants' needs
_EMBEDDED_AT_A_TIME = 64

_log = get_logger(__name__)


@dataclass(slots=True)
class _Backlog:
    """What of a version has yet to be embedded. `whole` counts texts."""

    version: int
    whole: int
    texts: list[tuple[str, str]] = field(default_factory=list)


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
        self._backlogs: dict[str, _Backlog] = {}

    async def embed(self, articles: Sequence[Article], progress: Progress | None = None) -> int:
        """
        Make and keep the vectors that the cache does not know yet. Returns how many that were.

        Raises:
            DependencyUnavailable: ("vectors") the model cannot be run.
        """
        missing = await self._missing(await asyncio.to_thread(cut, articles))
        await self._embed(missing, progress)
        return len(missing)

    async def build(self, tenant: str) -> Manifest:
        """
        Make an index of the version to serve the current one.

        Where the model does not run, what it has not seen yet is found by words alone.
        """
        version = await self._store.version(tenant)
        indexed = await self._indexed(tenant, version)
        return await self._embed_and_build(tenant, version, indexed, await self._missing(indexed))

    async def _embed_and_build(
        self,
        tenant: str,
        version: int,
        indexed: Sequence[IndexedArticle],
        missing: Sequence[tuple[str, str]],
    ) -> Manifest:
        try:
            await self._embed(missing)
        except DependencyUnavailable as exc:
            if exc.dependency != VECTORS:
                raise
            _log.warning("knowledge.built_without_vectors", tenant=tenant, error=str(exc))
        return await self._build(tenant, version, indexed)

    async def refresh(self, tenant: str) -> bool:
        """
        Bring the index a step nearer to the version to serve, and to having all vectors; whether another one is current now.

        A build of that version that is still there is switched to. Where much has to be embedded, articles are found by words
        meanwhile, and each call does a part of it.
        """
        version = await self._store.version(tenant)
        manifest = await asyncio.to_thread(self._intact_manifest, tenant)
        if manifest is not None and manifest.version == version:
            if self._embedder is None or (
                manifest.embedder == self._embedder.name and not manifest.unembedded
            ):
                self._backlogs.pop(tenant, None)
                return False
            await self._embedder.embed([new_id("check")])
        elif await asyncio.to_thread(self._switch, tenant, version):
            return True
        backlog = self._backlogs.get(tenant)
        if backlog is not None and backlog.version == version:
            await self._work_on(tenant, backlog)
            if backlog.texts:
                return False
        indexed = await self._indexed(tenant, version)
        missing = await self._missing(indexed)
        if len(missing) > _EMBEDDED_IN_PASSING:
            self._backlogs[tenant] = _Backlog(version, len(missing), missing[::-1])
            if manifest is not None and manifest.version == version:
                return False
            await self._build(tenant, version, indexed)
            return True
        self._backlogs.pop(tenant, None)
        await self._embed_and_build(tenant, version, indexed, missing)
        return True

    async def refresh_all(self, tenants: Iterable[str]) -> None:
        """Every tenant that can be; what fails is logged, and tried again with the next call."""
        for tenant in tenants:
            try:
                await self.refresh(tenant)
            except (CarelineError, OSError) as exc:
                _log.warning("knowledge.refresh_failed", tenant=tenant, error=str(exc))

    async def _work_on(self, tenant: str, backlog: _Backlog) -> None:
        """What another replica has done meanwhile is not done again."""
        some = [backlog.texts.pop() for _ in range(min(_EMBEDDED_AT_A_TIME, len(backlog.texts)))]
        try:
            known = await self._cached([key for key, _ in some])
            await self._embed([(key, text) for key, text in some if key not in known])
        except CarelineError:
            backlog.texts += some[::-1]
            raise
        done = backlog.whole - len(backlog.texts)
        _log.info("knowledge.embedding", tenant=tenant, done=done, whole=backlog.whole)

    async def _indexed(self, tenant: str, version: int) -> list[IndexedArticle]:
        """What is over already is left out; what will be over is hidden by the search when its time comes."""
        now = self._clock.now()
        articles = [
            article
            for article in await self._store.at(tenant, version)
            if article.expires_at is None or article.expires_at > now
        ]
        return await asyncio.to_thread(cut, articles)

    async def _missing(self, indexed: Sequence[IndexedArticle]) -> list[tuple[str, str]]:
        """Keys and texts that have no vector yet."""
        if self._embedder is None:
            return []
        texts = {key_of(text): text for one in indexed for text in texts_of(one)}
        known = await self._cached(list(texts))
        return [(key, text) for key, text in texts.items() if key not in known]

    async def _embed(self, missing: Sequence[tuple[str, str]], progress: Progress | None = None) -> None:
        if self._embedder is None:
            return
        for start in range(0, len(missing), _EMBEDDED_AT_ONCE):
            some = missing[start : start + _EMBEDDED_AT_ONCE]
            vectors = await self._embedder.embed([text for _, text in some])
            made = {
                key: vector.astype("<f4").tobytes() for (key, _), vector in zip(some, vectors, strict=True)
            }
            await self._cache.put_many(self._embedder.name, made)
            if progress is not None:
                progress(start + len(some), len(missing))

    async def _cached(self, keys: Sequence[str]) -> set[str]:
        """Which of them have a vector; the vectors themselves would not all fit into memory."""
        known: set[str] = set()
        if self._embedder is not None:
            for start in range(0, len(keys), _ASKED_AT_ONCE):
                some = keys[start : start + _ASKED_AT_ONCE]
                known |= (await self._cache.get_many(self._embedder.name, some)).keys()
        return known

    async def _build(self, tenant: str, version: int, indexed: Sequence[IndexedArticle]) -> Manifest:
        """Of what is embedded already, and of words."""
        with IndexFolder(self._data_dir, tenant).building() as folder:
            vectors = await self._write_vectors(folder, indexed)
            embedder = self._embedder.name if self._embedder is not None and vectors is not None else None
            manifest = await asyncio.to_thread(
                write_index,
                folder,
                indexed,
                version=version,
                embedder=embedder,
                built_at=self._clock.now(),
                unembedded=vectors.unembedded if vectors is not None else 0,
            )
        _log.info(
            "knowledge.index_built",
            tenant=tenant,
            version=manifest.version,
            articles=manifest.articles,
            chunks=manifest.chunks,
            embedder=manifest.embedder,
            unembedded=manifest.unembedded,
        )
        return manifest

    async def _write_vectors(self, folder: Path, indexed: Sequence[IndexedArticle]) -> VectorFiles | None:
        """None, and no files, where not one text has a vector."""
        if self._embedder is None:
            return None
        vectors = VectorFiles(folder, indexed, dimension=self._embedder.dimension)
        for part in parts(indexed):
            keys = dict.fromkeys(key_of(text) for one in part for text in texts_of(one))
            known = await self._cache.get_many(self._embedder.name, list(keys))
            await asyncio.to_thread(vectors.add, part, known)
        await asyncio.to_thread(vectors.close)
        return vectors if vectors.embedded or not indexed else None

    def _switch(self, tenant: str, version: int) -> bool:
        """To a whole build of the version, if there is one still: what was rolled back comes back at once."""
        folder = IndexFolder(self._data_dir, tenant)
        for build in folder.builds():
            try:
                manifest = read_manifest(build)
                if manifest.version != version or manifest.unembedded:
                    continue
                if self._embedder is not None and manifest.embedder != self._embedder.name:
                    continue
                Index(build).close()
            except DependencyUnavailable:
                continue
            folder.switch_to(build)
            _log.info("knowledge.index_switched", tenant=tenant, version=version)
            return True
        return False

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
