"""
The help desk that the settings name, opened; `agent.bootstrap` passes in what else there is.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Protocol

import httpx

from core.clock import Clock
from core.errors import RateLimited, ToolMisconfigured
from core.http import make_client
from core.settings import Settings
from tools.adapters.desks import github, intercom
from tools.adapters.desks.fallback import with_fallback
from tools.adapters.desks.github import GithubTicketDesk
from tools.adapters.desks.intercom import IntercomTicketDesk
from tools.adapters.desks.jira import JiraTicketDesk
from tools.adapters.desks.mail import MailTicketDesk
from tools.adapters.desks.wire import DEPENDENCY
from tools.adapters.desks.zendesk import ZendeskTicketDesk
from tools.ports import NotificationChannel, TicketDesk

_JIRA_TYPE = "Task"


class MailWithProbe(NotificationChannel, Protocol):
    async def probe(self) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenDesk:
    """`desk` is for the outbox, `for_tools` for the tools. `probe` asks whether it works."""

    desk: TicketDesk
    for_tools: TicketDesk
    probe: Callable[[], Awaitable[None]]


@asynccontextmanager
async def open_desk(
    settings: Settings,
    *,
    records: TicketDesk,
    records_probe: Callable[[], Awaitable[None]],
    mail: MailWithProbe | None,
    clock: Clock,
) -> AsyncIterator[OpenDesk]:
    """
    `records` is Careline's own desk, for who names no other; `mail` sends e-mail, where that is set up.

    Raises:
        ToolMisconfigured: e-mail is wanted and no way to send it is set.
    """
    wants_mail = settings.ticket_desk == "email" or settings.ticket_fallback_email is not None
    if wants_mail and mail is None:
        raise ToolMisconfigured("tickets by e-mail need CARELINE_SMTP_URL or CARELINE_SENDGRID_KEY")
    if settings.ticket_desk is None:
        yield _opened(settings, records, records_probe)
    elif settings.ticket_desk == "email" and mail is not None:
        yield _opened(settings, MailTicketDesk(mail, address=settings.desk_mailbox, clock=clock), mail.probe)
    else:
        async with open_vendor(settings, clock=clock) as vendors:

            async def is_there() -> None:
                with suppress(RateLimited):  # it answers, if only that we ask too much
                    await vendors.probe()

            yield _opened(settings, vendors, is_there)


@asynccontextmanager
async def open_vendor(
    settings: Settings, *, clock: Clock, timeout_seconds: float | None = None
) -> AsyncIterator[ZendeskTicketDesk | IntercomTicketDesk | JiraTicketDesk | GithubTicketDesk]:
    """For a `ticket_desk` that is a vendor's. Each answer has `timeout_seconds`, else what the settings say."""
    async with _client(settings, timeout_seconds or settings.ticket_desk_seconds) as client:
        yield _vendors(settings, client, clock)


def _opened(settings: Settings, desk: TicketDesk, probe: Callable[[], Awaitable[None]]) -> OpenDesk:
    has_fallback = settings.ticket_fallback_email is not None
    return OpenDesk(desk=desk, for_tools=with_fallback(desk) if has_fallback else desk, probe=probe)


def _vendors(
    settings: Settings, client: httpx.AsyncClient, clock: Clock
) -> ZendeskTicketDesk | IntercomTicketDesk | JiraTicketDesk | GithubTicketDesk:
    project = settings.ticket_desk_project or ""
    match settings.ticket_desk:
        case "zendesk":
            return ZendeskTicketDesk(client)
        case "intercom":
            return IntercomTicketDesk(client, ticket_type=settings.ticket_desk_type or "")
        case "jira":
            issue_type = settings.ticket_desk_type or _JIRA_TYPE
            return JiraTicketDesk(client, project=project, issue_type=issue_type, clock=clock)
        case _:
            return GithubTicketDesk(client, repository=project)


def _client(settings: Settings, timeout_seconds: float) -> httpx.AsyncClient:
    key = settings.ticket_desk_key.get_secret_value() if settings.ticket_desk_key else ""
    user = settings.ticket_desk_user or ""
    headers: dict[str, str] = {}
    auth: httpx.BasicAuth | None = None
    match settings.ticket_desk:
        case "zendesk":
            auth = httpx.BasicAuth(f"{user}/token", key)
        case "jira":
            auth = httpx.BasicAuth(user, key)
        case "intercom":
            headers = {**intercom.HEADERS, "Authorization": f"Bearer {key}"}
        case _:
            headers = {**github.HEADERS, "Authorization": f"Bearer {key}"}
    client = make_client(
        DEPENDENCY,
        base_url=settings.desk_url,
        timeout_seconds=timeout_seconds,
        connect_seconds=settings.connect_timeout_seconds,
        headers=headers,
    )
    if auth is not None:
        client.auth = auth
    return client
