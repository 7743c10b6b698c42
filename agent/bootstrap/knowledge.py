"""What the commands open to ask the knowledge base, and to see what it did not answer."""

import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime

from agent.bootstrap.embedder import make_embedder, open_embedder_or_warn
from agent.bootstrap.lookups import open_knowledge_search
from agent.bootstrap.records import make_guards, open_for_command
from core.clock import SystemClock
from core.errors import CarelineError
from core.resilience.degradation import GracefulDegradationHandler
from core.settings import Settings
from core.telemetry.logging import get_logger
from core.telemetry.metrics import Metrics
from core.telemetry.redaction import redacted_text
from state.sql.unanswered import SqlUnansweredTurns
from tools.knowledge.gaps import Asked, Gap, gaps, is_worth_an_article
from tools.knowledge.search import LocalKnowledge
from tools.ports import KnowledgeSearch

log = get_logger(__name__)

_MOST_QUESTIONS = 2000


@dataclass(frozen=True, slots=True)
class Searching:
    """`has_article` says whether an id is there; always True where only a search of the company's knows."""

    search: KnowledgeSearch
    has_article: Callable[[str, str], Awaitable[bool]]


@asynccontextmanager
async def open_searching(settings: Settings) -> AsyncIterator[Searching]:
    """The search that the service would ask, without the service."""
    clock = SystemClock()
    rng = random.Random()
    guards = make_guards(settings, clock=clock, rng=rng, metrics=Metrics())
    async with AsyncExitStack() as stack:
        embedder = await open_embedder_or_warn(settings, guards, stack)
        local = await stack.enter_async_context(LocalKnowledge(settings.data_dir, embedder))
        degradation = GracefulDegradationHandler(clock=clock, rng=rng)
        search = await open_knowledge_search(settings, local, guards, degradation, stack, embedder=embedder)

        async def has_article(tenant: str, article_id: str) -> bool:
            return search is not local or await local.article(tenant, article_id) is not None

        yield Searching(search, has_article)


async def knowledge_gaps(
    settings: Settings, tenant: str, since: datetime | None
) -> tuple[Sequence[Gap], bool]:
    """What was asked and not answered, put together; and whether by meaning, else by words."""
    async with open_for_command(settings) as opened, AsyncExitStack() as stack:
        turns = await SqlUnansweredTurns(opened.records.database).since(tenant, since, limit=_MOST_QUESTIONS)
        asked = [
            Asked(redacted_text(turn.question), turn.asked_at)
            for turn in turns
            if is_worth_an_article(turn.question)
        ]
        embedder = await make_embedder(settings, opened.guards, stack)
        try:
            vectors = await embedder.embed([each.question for each in asked]) if embedder and asked else None
        except CarelineError as exc:
            log.warning("gaps.without_vectors", error=str(exc))
            vectors = None
        return gaps(asked, vectors), vectors is not None or not asked
