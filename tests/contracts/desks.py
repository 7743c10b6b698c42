"""
Every help desk that Careline knows, each in a world of its own: an adapter, and the vendor's service on a real socket.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import httpx
import msgspec

from core.clock import SystemClock
from core.http import make_client
from core.ids import receipt_for
from core.records import NewTicket, Recognition, Ticket
from core.settings import Settings
from state.sql.engine import Database
from state.sql.migrate import upgrade
from state.sql.tickets import SqlTicketDesk
from tests.vendors import github, intercom, jira, zendesk
from tests.vendors.server import VendorServer
from tools.adapters.desks.github import HEADERS as GITHUB_HEADERS
from tools.adapters.desks.github import GithubTicketDesk
from tools.adapters.desks.intercom import HEADERS as INTERCOM_HEADERS
from tools.adapters.desks.intercom import IntercomTicketDesk
from tools.adapters.desks.jira import JiraTicketDesk
from tools.adapters.desks.zendesk import ZendeskTicketDesk
from tools.ports import TicketDesk

PATIENCE_SECONDS = 0.4
PAGE = 2
"""So small that every list has several pages."""


def wish(key: str = "k1", **changes: Any) -> NewTicket:
    wanted = NewTicket(
        key,
        receipt_for(key),
        "cust_anna",
        "conv_1",
        "Lamp is broken",
        "It flickers, then it goes out.",
        contact="anna@alvarez.example",
    )
    return msgspec.structs.replace(wanted, **changes)


async def opened_once(desk: TicketDesk, tenant: str, wanted: NewTicket) -> Ticket:
    """As whoever may have asked before: a desk that knows no key is looked at first (`agent.workers.tickets`)."""
    if desk.recognition is Recognition.LOOKUP:
        found = await desk.ticket_of(tenant, wanted.key)
        if found is not None:
            return found
    return await desk.open_ticket(tenant, wanted)


class Vendor(Protocol):
    """What the suite looks at behind the adapter's back."""

    @property
    def subjects(self) -> list[str]: ...


@dataclass(frozen=True, slots=True)
class VendorWorld:
    desk: TicketDesk
    server: VendorServer
    vendor: Vendor
    client: httpx.AsyncClient
    settings: Settings

    async def open(self, wanted: NewTicket, tenant: str = "default") -> Ticket:
        return await opened_once(self.desk, tenant, wanted)


@asynccontextmanager
async def _client(server: VendorServer, **more: Any) -> AsyncIterator[httpx.AsyncClient]:
    auth = more.pop("auth", None)
    async with make_client(
        "tickets", base_url=server.url, timeout_seconds=PATIENCE_SECONDS, **more
    ) as client:
        client.auth = auth
        yield client


@asynccontextmanager
async def zendesk_world() -> AsyncIterator[VendorWorld]:
    async with zendesk.Zendesk() as server:
        auth = httpx.BasicAuth(f"{zendesk.USER}/token", zendesk.KEY)
        async with _client(server, auth=auth) as client:
            settings = Settings(
                ticket_desk="zendesk",
                ticket_desk_url=server.url,
                ticket_desk_user=zendesk.USER,
                ticket_desk_key=zendesk.KEY,
            )
            yield VendorWorld(ZendeskTicketDesk(client, page=PAGE), server, server, client, settings)


@asynccontextmanager
async def intercom_world() -> AsyncIterator[VendorWorld]:
    async with intercom.Intercom() as server:
        headers = {**INTERCOM_HEADERS, "Authorization": f"Bearer {intercom.KEY}"}
        async with _client(server, headers=headers) as client:
            settings = Settings(
                ticket_desk="intercom",
                ticket_desk_url=server.url,
                ticket_desk_key=intercom.KEY,
                ticket_desk_type=intercom.TICKET_TYPE,
            )
            desk = IntercomTicketDesk(client, ticket_type=intercom.TICKET_TYPE, page=PAGE)
            yield VendorWorld(desk, server, server, client, settings)


@asynccontextmanager
async def jira_world(*, has_new_search: bool = True) -> AsyncIterator[VendorWorld]:
    async with (
        jira.Jira(has_new_search=has_new_search) as server,
        _client(server, auth=httpx.BasicAuth(jira.USER, jira.KEY)) as client,
    ):
        settings = Settings(
            ticket_desk="jira",
            ticket_desk_url=server.url,
            ticket_desk_user=jira.USER,
            ticket_desk_key=jira.KEY,
            ticket_desk_project=jira.PROJECT,
        )
        desk = JiraTicketDesk(client, project=jira.PROJECT, issue_type="Task", clock=SystemClock(), page=PAGE)
        yield VendorWorld(desk, server, server, client, settings)


@asynccontextmanager
async def github_world() -> AsyncIterator[VendorWorld]:
    async with github.Github() as server:
        headers = {**GITHUB_HEADERS, "Authorization": f"Bearer {github.KEY}"}
        async with _client(server, headers=headers) as client:
            settings = Settings(
                ticket_desk="github",
                ticket_desk_url=server.url,
                ticket_desk_key=github.KEY,
                ticket_desk_project=github.REPOSITORY,
            )
            desk = GithubTicketDesk(client, repository=github.REPOSITORY, page=PAGE)
            yield VendorWorld(desk, server, server, client, settings)


VENDORS: dict[str, Callable[[], AbstractAsyncContextManager[VendorWorld]]] = {
    "zendesk": zendesk_world,
    "intercom": intercom_world,
    "jira": jira_world,
    "jira of 2024": lambda: jira_world(has_new_search=False),
    "github": github_world,
}


MALFORMED: tuple[tuple[str, str, str, dict[str, Any]], ...] = (
    ("zendesk", "POST", "/api/v2/tickets", {"json": {"ticket": {"subject": 7, "comment": {"body": "x"}}}}),
    ("zendesk", "GET", "/api/v2/search", {"params": {"sort_by": "created_at"}}),
    ("intercom", "POST", "/tickets", {"json": {"contacts": [{"email": "a@b.example"}]}}),
    ("jira", "POST", "/rest/api/3/issue", {"json": {"fields": {}, "properties": [{"name": "careline"}]}}),
    ("jira of 2024", "GET", "/rest/api/3/search", {"params": {"jql": "x", "maxResults": "many"}}),
    ("github", "POST", "/repos/shop/support/issues", {"json": {"body": "a title is missing"}}),
    ("github", "GET", "/repos/shop/support/issues", {"params": {"state": "every"}}),
)
"""(vendor, method, path, rest of the request): what the vendor's description does not allow."""


@asynccontextmanager
async def sql_desk(url: str) -> AsyncIterator[TicketDesk]:
    upgrade(url)
    database = Database(url, timeout_seconds=5.0)
    yield SqlTicketDesk(database, clock=SystemClock())
    await database.close()
