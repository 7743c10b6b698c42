"""
Where customers and articles are looked up in systems of the company: whether they let us in and answer what the mapping says.

The CRM is asked for its `probe_path`, else for a customer that nobody is; the search is asked a question; of tables the columns
are looked at.
"""

from collections.abc import Mapping
from functools import partial

from agent.doctor.findings import Check, Finding, broken, ok, warn
from core.errors import (
    CarelineError,
    DataIntegrityFailed,
    DependencyRefusedUs,
    DependencyRejectedInput,
    ExternalApiFailed,
    NotFound,
    RateLimited,
    ToolMisconfigured,
)
from core.json_api import make_lookup_client
from core.lookup_settings import CustomersApi, CustomersSql, KnowledgeApi, OpenSearchIndex
from core.settings import Settings
from state.opening import customers_setting
from state.sql.advice import DatabaseNotOpened
from state.sql.engine import Database
from state.sql.foreign_mapping import MappingDoesNotFit, check_mapping
from tools.adapters.http_customers import HttpCustomerDirectory
from tools.knowledge.http_search import HttpKnowledgeSearch
from tools.knowledge.opensearch import OpenSearchKnowledge

_REACH_SECONDS = 1.5
_NOBODY = "careline-doctor"
_QUESTION = "How can you help me?"
_CRM = "CARELINE_CUSTOMERS_API"


def lookup_checks(settings: Settings) -> Mapping[str, Check]:
    """Of what the settings name; Careline's own tables are looked at with the databases."""
    checks: dict[str, Check] = {}
    if settings.customers_api is not None:
        checks["directory"] = partial(_check_crm, settings, settings.customers_api)
    if settings.customers_sql is not None:
        checks["directory"] = partial(_check_tables, settings, settings.customers_sql)
    if (search := settings.knowledge_api or settings.knowledge_opensearch) is not None:
        checks["knowledge"] = partial(_check_search, settings, search)
    return checks


async def _check_crm(settings: Settings, api: CustomersApi) -> Finding:
    client = make_lookup_client(
        "customers",
        api.url,
        timeout_seconds=_REACH_SECONDS,
        connect_seconds=_REACH_SECONDS,
        credentials=settings.customers_credentials,
    )
    try:
        async with client:
            crm = HttpCustomerDirectory(client, api)
            if api.probe_path is not None:
                await crm.probe()
                return ok("directory", "the CRM is reached, and it lets us in")
            await crm.customer(api.tenant, _NOBODY)
    except (NotFound, DependencyRejectedInput):
        return ok(
            "directory", f"the CRM answers, and knows no customer {_NOBODY}; name a probe_path to be sure"
        )
    except ToolMisconfigured as exc:
        return broken("directory", str(exc), f"Correct url, probe_path or orders in {_CRM}.")
    except (DataIntegrityFailed, ExternalApiFailed) as exc:
        return warn(
            "directory",
            f"the CRM answers, and not what the mapping wants: {exc}",
            f"Correct url, path and record in {_CRM}, or name a probe_path there.",
        )
    except CarelineError as exc:
        return _of_failure(
            "directory",
            exc,
            credentials="CARELINE_CUSTOMERS_CREDENTIALS",
            setting=_CRM,
            meanwhile="what needs an account is refused politely",
        )
    return warn(
        "directory",
        f"the CRM answers with somebody when it is asked for the customer {_NOBODY}",
        f"Correct path in {_CRM}: it must hold {{customer_id}} where the CRM reads it.",
    )


async def _check_search(settings: Settings, where: KnowledgeApi | OpenSearchIndex) -> Finding:
    client = make_lookup_client(
        "knowledge",
        where.url,
        timeout_seconds=_REACH_SECONDS,
        connect_seconds=_REACH_SECONDS,
        credentials=settings.knowledge_credentials,
    )
    is_own_api = isinstance(where, KnowledgeApi)
    setting = "CARELINE_KNOWLEDGE_API" if is_own_api else "CARELINE_KNOWLEDGE_OPENSEARCH"
    try:
        async with client:
            search = (
                HttpKnowledgeSearch(client, where)
                if isinstance(where, KnowledgeApi)
                else OpenSearchKnowledge(client, where, None)
            )
            await search.search(where.tenant, _QUESTION, limit=1)
    except (ToolMisconfigured, DependencyRejectedInput) as exc:
        fields = "url, method, path or body" if is_own_api else "url, index or fields"
        return broken("knowledge", str(exc), f"Correct {fields} in {setting}.")
    except DataIntegrityFailed as exc:
        fields = "hits and passage" if is_own_api else "the fields"
        return broken("knowledge", str(exc), f"Correct {fields} in {setting}.")
    except CarelineError as exc:
        return _of_failure(
            "knowledge",
            exc,
            credentials="CARELINE_KNOWLEDGE_CREDENTIALS",
            setting=setting,
            meanwhile="articles that were ingested stand in, where there are any",
        )
    return ok("knowledge", "the search is reached, and its answer is what the mapping says")


async def _check_tables(settings: Settings, mapping: CustomersSql) -> Finding:
    url = settings.customers_database_url or settings.database_url
    database = Database(
        url, timeout_seconds=_REACH_SECONDS, dependency="customers", connections=1, is_foreign=True
    )
    try:
        await check_mapping(database, mapping, url=url, setting=customers_setting(settings))
    except (MappingDoesNotFit, DatabaseNotOpened) as exc:
        return broken("directory", str(exc), exc.next_step)
    except CarelineError as exc:
        return broken(
            "directory",
            f"the customers' database cannot be asked: {str(exc).partition(chr(10))[0]}",
            f"Check that it runs and that {customers_setting(settings)} names it. Until then what needs an account is refused.",
        )
    finally:
        await database.close()
    return ok("directory", "your own tables are reached, and have what the mapping says")


def _of_failure(name: str, exc: CarelineError, *, credentials: str, setting: str, meanwhile: str) -> Finding:
    match exc:
        case DependencyRefusedUs():
            return broken(name, str(exc), f"Check {credentials}: it is there and refuses them.")
        case RateLimited():
            return warn(name, f"{exc}: it is reached, and asked too often", "Wait a minute.")
        case _:
            return broken(name, str(exc), f"Start it, or correct url in {setting}. Until then {meanwhile}.")
