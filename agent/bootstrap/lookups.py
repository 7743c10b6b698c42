"""Where articles and customers are looked up: here, or in the company's own systems."""

from collections.abc import Mapping
from contextlib import AsyncExitStack

from core.errors import CarelineError, DependencyError
from core.identity import DEFAULT_TENANT
from core.json_api import make_lookup_client
from core.lookup_settings import KnowledgeApi
from core.resilience.degradation import GracefulDegradationHandler
from core.resilience.guard import Guard
from core.settings import Settings
from core.telemetry.logging import get_logger
from state.opening import OpenState, customers_setting
from state.sql.advice import DatabaseNotOpened
from state.sql.foreign_customers import ForeignSqlCustomerDirectory
from state.sql.foreign_mapping import check_mapping
from tools.adapters.http_customers import HttpCustomerDirectory
from tools.knowledge.embed import Embedder
from tools.knowledge.http_search import HttpKnowledgeSearch
from tools.knowledge.opensearch import OpenSearchKnowledge
from tools.knowledge.search import LocalKnowledge
from tools.knowledge.stand_in import KnowledgeWithStandIn
from tools.ports import CustomerDirectory, KnowledgeSearch

log = get_logger(__name__)


async def open_directory(
    settings: Settings, records: OpenState, degradation: GracefulDegradationHandler, stack: AsyncExitStack
) -> CustomerDirectory:
    """
    Who knows the customers: a CRM, the company's own tables, or Careline's.

    Raises:
        ToolMisconfigured: the company's tables are not what the settings say.
        DatabaseNotOpened: their database refuses us.
    """
    if settings.customers_api is not None:
        client = make_lookup_client(
            "customers",
            settings.customers_api.url,
            timeout_seconds=settings.customers_timeout_seconds,
            connect_seconds=settings.connect_timeout_seconds,
            credentials=settings.customers_credentials,
        )
        crm = HttpCustomerDirectory(await stack.enter_async_context(client), settings.customers_api)
        if settings.customers_api.probe_path is not None:
            degradation.add_probe("customers", crm.probe, is_counted=True)
        return crm
    if settings.customers_sql is not None:
        tables = ForeignSqlCustomerDirectory(records.customers_database, settings.customers_sql)
        degradation.add_probe("customers", tables.check)
        try:
            await check_mapping(
                records.customers_database,
                settings.customers_sql,
                url=settings.customers_database_url or settings.database_url,
                setting=customers_setting(settings),
            )
        except DatabaseNotOpened:
            raise
        except DependencyError as away:
            log.warning("customers.not_checked", error=str(away))
        return tables
    degradation.add_probe("customers", records.customers_database.ping)
    return records.customers


async def open_knowledge_search(
    settings: Settings,
    local: LocalKnowledge,
    guards: Mapping[str, Guard],
    degradation: GracefulDegradationHandler,
    stack: AsyncExitStack,
    *,
    embedder: Embedder | None,
) -> KnowledgeSearch:
    """Where articles are found: in what was ingested, or in the company's own search, for which that stands in."""
    where = settings.knowledge_api or settings.knowledge_opensearch
    if where is None:
        degradation.add_probe("knowledge", lambda: local.check(DEFAULT_TENANT))
        return local
    client = await stack.enter_async_context(
        make_lookup_client(
            "knowledge",
            where.url,
            timeout_seconds=settings.knowledge_timeout_seconds,
            connect_seconds=settings.connect_timeout_seconds,
            credentials=settings.knowledge_credentials,
        )
    )
    search: HttpKnowledgeSearch | OpenSearchKnowledge
    if isinstance(where, KnowledgeApi):
        search = HttpKnowledgeSearch(client, where)
        can_be_probed = where.probe_path is not None
    else:
        search = OpenSearchKnowledge(client, where, embedder)
        can_be_probed = True
    degradation.watch(guards["search_service"])

    async def something_is_found() -> None:
        try:
            await search.probe()
        except CarelineError:
            if not await local.holds_articles(DEFAULT_TENANT):
                raise

    if can_be_probed:
        degradation.add_probe("search_service", search.probe, is_counted=True)
        degradation.add_probe("knowledge", something_is_found, is_counted=True)
    return KnowledgeWithStandIn(search, local, guards["search_service"])
