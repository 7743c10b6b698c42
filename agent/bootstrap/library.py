"""What the commands about articles open: the record, the embedder and the local index, and no more of the service."""

import random
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from agent.bootstrap.embedder import open_embedder_or_warn
from agent.bootstrap.records import make_guards, open_for_command
from core.clock import SystemClock
from core.identity import Audience
from core.lookup_settings import credential_header
from core.outward import OutwardClient
from core.outward_addresses import is_outward
from core.records import SearchResult
from core.settings import Settings
from core.telemetry.metrics import Metrics
from state.opening import OpenState
from tools.knowledge.article import NO_TERMS, Terms
from tools.knowledge.crawl import Bounds, WebSite
from tools.knowledge.fetch import Fetcher
from tools.knowledge.help_centres import IntercomHelpCentre, ZendeskHelpCentre
from tools.knowledge.indexer import Indexer
from tools.knowledge.ingest import Ingestion, Source, Together, files_of
from tools.knowledge.search import LocalKnowledge
from tools.knowledge.versions import Versions

_FETCH_SECONDS = 30.0
_PAGE_BYTES = 20_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """
    What to ingest. `source` names all of it together. `is_inside`: the addresses may lie in the company's own network. `zendesk`
    and `intercom` are addresses of APIs.
    """

    paths: Sequence[Path] = ()
    pages: Sequence[str] = ()
    sitemaps: Sequence[str] = ()
    zendesk: str | None = None
    intercom: str | None = None
    source: str | None = None
    terms: Terms = NO_TERMS
    bounds: Bounds = field(default_factory=Bounds)
    pause_seconds: float = 1.0
    is_inside: bool = False


@asynccontextmanager
async def open_ingestion(
    settings: Settings, wanted: Wanted, tenant: str
) -> AsyncIterator[tuple[Ingestion, Sequence[Source]]]:
    """Only what ingesting needs: the record, the embedder on all cores, and a client that asks nothing inside unless told to."""
    clock = SystemClock()
    web = OutwardClient(
        "ingest",
        timeout_seconds=_FETCH_SECONDS,
        answer_bytes=_PAGE_BYTES,
        may_ask=(lambda _: True) if wanted.is_inside else is_outward,
    )
    async with _opened(settings) as (records, indexer), web:
        fetcher = Fetcher(web, clock=clock, pause_seconds=wanted.pause_seconds)
        sources: Sequence[Source] = tuple(_sources(settings, wanted, tenant, fetcher, records))
        if wanted.source is not None:
            sources = (Together(wanted.source, sources),)
        yield Ingestion(records.articles, indexer, clock=clock), sources


def _sources(
    settings: Settings, wanted: Wanted, tenant: str, fetcher: Fetcher, records: OpenState
) -> Iterator[Source]:
    name, terms = wanted.source, wanted.terms
    if wanted.paths:
        yield from files_of(wanted.paths, source=name, terms=terms)
    for is_sitemap, urls in ((False, wanted.pages), (True, wanted.sitemaps)):
        for url in urls:
            yield WebSite(
                url,
                fetcher,
                records.pages,
                tenant,
                name=name,
                is_sitemap=is_sitemap,
                bounds=wanted.bounds,
                terms=terms,
            )
    secret = settings.help_centre_credentials
    headers = {} if secret is None else dict([credential_header(secret.get_secret_value())])
    if wanted.zendesk is not None:
        yield ZendeskHelpCentre(wanted.zendesk, fetcher, headers=headers, name=name, terms=terms)
    if wanted.intercom is not None:
        yield IntercomHelpCentre(wanted.intercom, fetcher, headers=headers, name=name, terms=terms)


@asynccontextmanager
async def open_versions(settings: Settings) -> AsyncIterator[Versions]:
    async with _opened(settings) as (records, indexer):
        yield Versions(records.articles, indexer)


async def find_passages(
    settings: Settings, tenant: str, question: str, *, limit: int, audience: Audience
) -> SearchResult:
    """
    What the local index finds; neither SQL nor a service is asked.

    Raises:
        DependencyUnavailable: ("knowledge") there is no index.
    """
    guards = make_guards(settings, clock=SystemClock(), rng=random.Random(), metrics=Metrics())
    async with AsyncExitStack() as stack:
        embedder = await open_embedder_or_warn(settings, guards, stack)
        knowledge = await stack.enter_async_context(LocalKnowledge(settings.data_dir, embedder))
        if audience is Audience.INTERNAL:
            return await knowledge.search_for_staff(tenant, question, limit=limit)
        return await knowledge.search(tenant, question, limit=limit, audience=audience)


@asynccontextmanager
async def _opened(settings: Settings) -> AsyncIterator[tuple[OpenState, Indexer]]:
    async with open_for_command(settings, "ingest") as opened, AsyncExitStack() as stack:
        records = opened.records
        embedder = await open_embedder_or_warn(settings, opened.guards, stack, threads=2)
        yield (
            records,
            Indexer(records.articles, records.embeddings, embedder, settings.data_dir, clock=opened.clock),
        )
