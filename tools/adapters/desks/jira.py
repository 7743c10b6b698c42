"""
Help desk: a project of Jira Cloud, by its REST API v3.

Jira knows no key: each issue carries a label made of it, by which it is looked up in JQL. The search trails behind by seconds, so
that whoever looks waits for `settles_after_seconds`. What the customer said is kept word for word in the issue property
`careline`; the description is for people.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import httpx
import msgspec

from core.clock import Clock
from core.errors import ToolMisconfigured
from core.records import NewTicket, Recognition, Ticket, TicketStatus
from tools.adapters.desks.marks import LABEL, Marks, owner_mark, text_with_foot, ticket_mark
from tools.adapters.desks.wire import MOST_PAGES, DeskWire

_ISSUE = "/rest/api/3/issue"
_SEARCH = "/rest/api/3/search/jql"
_OLD_SEARCH = "/rest/api/3/search"
"""Until 2025 the only search of Jira Cloud; it has been taken away there, and stayed in what follows the older API."""
_PROPERTY = "careline"
_FIELDS = "summary,status,labels,created,updated"
_SETTLES_SECONDS = 30.0
_PAGE = 50
_DONE = "done"


class _Category(msgspec.Struct, frozen=True):
    key: str


class _Status(msgspec.Struct, frozen=True, rename="camel"):
    status_category: _Category


class _Fields(msgspec.Struct, frozen=True):
    summary: str
    status: _Status
    created: datetime
    updated: datetime
    labels: tuple[str, ...] = ()


class _Kept(msgspec.Struct, frozen=True):
    """The issue property: what no editor of the desk changes."""

    receipt: str
    description: str


class _Issue(msgspec.Struct, frozen=True):
    id: str
    key: str
    fields: _Fields
    properties: dict[str, msgspec.Raw] = {}


class _Found(msgspec.Struct, frozen=True, rename="camel"):
    issues: tuple[_Issue, ...]
    total: int | None = None
    next_page_token: str | None = None


class _Made(msgspec.Struct, frozen=True):
    key: str


class JiraTicketDesk:
    """
    Implements `tools.ports.TicketDesk`. `project` is its key, `issue_type` a type that it has; `client` sends an account's
    e-mail and API token as basic credentials.
    """

    recognition = Recognition.LOOKUP
    lists_tickets = True
    settles_after_seconds = _SETTLES_SECONDS

    def __init__(
        self, client: httpx.AsyncClient, *, project: str, issue_type: str, clock: Clock, page: int = _PAGE
    ) -> None:
        self._wire = DeskWire(client)
        self._project = project
        self._issue_type = issue_type
        self._clock = clock
        self._page = page
        self._has_new_search = True

    async def open_ticket(self, tenant: str, ticket: NewTicket) -> Ticket:
        marks = Marks.of(tenant, ticket)
        kept = _Kept(ticket.receipt, ticket.description)
        made = await self._wire.write(
            _ISSUE,
            _Made,
            body={
                "fields": {
                    "project": {"key": self._project},
                    "issuetype": {"name": self._issue_type},
                    "summary": ticket.subject,
                    "description": _document(text_with_foot(tenant, ticket)),
                    "labels": [LABEL, marks.ticket, marks.owner],
                },
                "properties": [{"key": _PROPERTY, "value": msgspec.to_builtins(kept)}],
            },
        )
        now = self._clock.now()
        return Ticket(
            reference=made.key,
            receipt=ticket.receipt,
            customer_id=ticket.customer_id,
            subject=ticket.subject,
            description=ticket.description,
            status=TicketStatus.OPEN,
            created_at=now,
            updated_at=now,
        )

    async def ticket_of(self, tenant: str, key: str) -> Ticket | None:
        same = await self._labelled(ticket_mark(tenant, key), limit=self._page)
        return _ticket(min(same, key=lambda issue: int(issue.id)), None) if same else None

    async def find_tickets(self, tenant: str, customer_id: str, *, limit: int) -> Sequence[Ticket]:
        """Jira's search trails behind by seconds: a ticket opened just now may be missing."""
        found = await self._labelled(owner_mark(tenant, customer_id), limit=limit)
        return tuple(_ticket(issue, customer_id) for issue in found)

    async def probe(self) -> None:
        """Whether Jira answers, lets us in and has the project."""
        await self._labelled("probe", limit=1)

    async def _labelled(self, label: str, *, limit: int) -> Sequence[_Issue]:
        """Newest first."""
        jql = f'project = "{self._project}" AND labels = "{label}" ORDER BY created DESC, key DESC'
        found: list[_Issue] = []
        asked: dict[str, str | int] = {
            "jql": jql,
            "fields": _FIELDS,
            "properties": _PROPERTY,
            "maxResults": min(limit, self._page),
        }
        for _ in range(MOST_PAGES):
            page = await self._search(asked)
            found += [issue for issue in page.issues if label in issue.fields.labels]
            if page.next_page_token is not None:
                asked["nextPageToken"] = page.next_page_token
            elif page.total is not None and page.issues and len(found) < page.total:
                asked["startAt"] = len(found)
            else:
                break
            if len(found) >= limit:
                break
        return found[:limit]

    async def _search(self, asked: Mapping[str, str | int]) -> _Found:
        if self._has_new_search:
            try:
                return await self._wire.read(_SEARCH, _Found, params=asked)
            except ToolMisconfigured:
                found = await self._wire.read(_OLD_SEARCH, _Found, params=asked)
                self._has_new_search = False
                return found
        return await self._wire.read(_OLD_SEARCH, _Found, params=asked)


def _document(text: str) -> dict[str, Any]:
    """Atlassian's document format: a paragraph per block of lines; it knows no empty text."""
    return {"type": "doc", "version": 1, "content": [_paragraph(block) for block in text.split("\n\n")]}


def _paragraph(block: str) -> dict[str, Any]:
    content: list[dict[str, Any]] = []
    for line in block.split("\n"):
        if content:
            content.append({"type": "hardBreak"})
        if line:
            content.append({"type": "text", "text": line})
    return {"type": "paragraph", "content": content}


def _ticket(issue: _Issue, customer_id: str | None) -> Ticket:
    kept = _kept(issue)
    fields = issue.fields
    return Ticket(
        reference=issue.key,
        receipt=kept.receipt,
        customer_id=customer_id,
        subject=fields.summary,
        description=kept.description,
        status=TicketStatus.SOLVED if fields.status.status_category.key == _DONE else TicketStatus.OPEN,
        created_at=fields.created,
        updated_at=fields.updated,
    )


def _kept(issue: _Issue) -> _Kept:
    raw = issue.properties.get(_PROPERTY)
    if raw is None:
        return _Kept("", "")
    try:
        return msgspec.json.decode(raw, type=_Kept)
    except msgspec.DecodeError:
        return _Kept("", "")
