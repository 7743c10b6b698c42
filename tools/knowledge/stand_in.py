"""
Search what was ingested while the company's own search is down: an older answer, said so, in place of none.
"""

from collections.abc import Awaitable, Callable, Collection, Sequence
from functools import partial

import msgspec

from core.errors import CarelineError, DependencyError, DependencyUnavailable
from core.identity import Audience
from core.records import SearchResult
from core.resilience.guard import Guard
from core.telemetry.logging import get_logger
from tools.knowledge.search import LocalKnowledge
from tools.ports import KnowledgeSearch

_log = get_logger(__name__)


class KnowledgeWithStandIn:
    """
    Implements `tools.ports.KnowledgeSearch`. `guard` is that of the company's search alone, so that while its breaker is open no
    question waits for it. Where nothing was ingested for a tenant, its failure stays one.
    """

    def __init__(self, search: KnowledgeSearch, local: LocalKnowledge, guard: Guard) -> None:
        self._search = search
        self._local = local
        self._guard = guard

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
        async def asked_of(search: KnowledgeSearch) -> SearchResult:
            return await search.search(
                tenant,
                words,
                limit=limit,
                language=language,
                context=context,
                replies=replies,
                audience=audience,
                languages=languages,
            )

        try:
            return await self._guard.run(partial(asked_of, self._search))
        except CarelineError as failure:
            found = await self._from_what_was_ingested(tenant, asked_of)
            if found is None:
                raise _of_all_knowledge(failure) from failure
            _log.warning("knowledge.stand_in_searched", error=str(failure))
            return msgspec.structs.replace(found, is_stand_in=True)

    async def _from_what_was_ingested(
        self, tenant: str, asked_of: Callable[[KnowledgeSearch], Awaitable[SearchResult]]
    ) -> SearchResult | None:
        """None where there is nothing to search: that is no answer, and not an empty one."""
        try:
            return await asked_of(self._local) if await self._local.holds_articles(tenant) else None
        except CarelineError as exc:
            _log.warning("knowledge.stand_in_failed", error=str(exc))
            return None


def _of_all_knowledge(failure: CarelineError) -> CarelineError:
    """The guard speaks of the company's search; without anything to stand in for it, there is no knowledge to be asked."""
    if isinstance(failure, DependencyError) and failure.dependency != "knowledge":
        return DependencyUnavailable("knowledge", str(failure), retry_after=failure.retry_after)
    return failure
