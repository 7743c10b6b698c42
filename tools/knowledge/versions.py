"""
Return to an earlier version of the knowledge base, on every replica, until the next ingest or until it is undone.
"""

from collections.abc import Sequence

from core.errors import NotFound
from core.records import Release
from tools.knowledge.indexer import Indexer
from tools.knowledge.store import ArticleStore


class Versions:
    def __init__(self, store: ArticleStore, indexer: Indexer) -> None:
        self._store = store
        self._indexer = indexer

    async def list(self, tenant: str) -> Sequence[Release]:
        """Those that can be returned to, newest first."""
        return await self._store.releases(tenant)

    async def roll_back(self, tenant: str, version: int | None = None) -> Release:
        """
        Serve the version, else the one before that which is served now. Other replicas follow within seconds.

        Raises:
            NotFound: there is no such version.
        """
        releases = await self.list(tenant)
        if version is None:
            served = next((each.version for each in releases if each.is_served), 0)
            version = next((each.version for each in releases if each.version < served), None)
            if version is None:
                raise NotFound(f"tenant {tenant} has no version before the one that is served")
        await self._store.serve(tenant, version)
        await self._indexer.refresh(tenant)
        return next(each for each in await self.list(tenant) if each.version == version)

    async def undo(self, tenant: str) -> Release:
        """Serve the newest version again. Raises NotFound where there is none."""
        newest = next((each.version for each in await self.list(tenant)), None)
        if newest is None:
            raise NotFound(f"nothing was ever ingested for tenant {tenant}")
        return await self.roll_back(tenant, newest)
