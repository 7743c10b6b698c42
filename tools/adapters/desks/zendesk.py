"""
Help desk: Zendesk Support, by its Ticketing API v2.

A repeat is recognised twice over: by `external_id`, which is looked up before a ticket is made, and by the `Idempotency-Key`
header, which holds for two hours even between two callers at the same moment.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime

import httpx
import msgspec

from core.records import NewTicket, Recognition, Ticket, TicketStatus
from tools.adapters.desks.marks import LABEL, Marks, owner_mark, read_text, text_with_foot, ticket_mark
from tools.adapters.desks.wire import MOST_PAGES, DeskWire

_TICKETS = "/api/v2/tickets"
_SEARCH = "/api/v2/search"
_PAGE = 100
_STATUS: Mapping[str, TicketStatus] = {
    "new": TicketStatus.OPEN,
    "open": TicketStatus.OPEN,
    "pending": TicketStatus.PENDING,
    "hold": TicketStatus.PENDING,
    "solved": TicketStatus.SOLVED,
    "closed": TicketStatus.SOLVED,
}


class _Ticket(msgspec.Struct, frozen=True):
    id: int
    subject: str | None
    description: str | None
    status: str
    created_at: datetime
    updated_at: datetime
    tags: tuple[str, ...] = ()


class _One(msgspec.Struct, frozen=True):
    ticket: _Ticket


class _Listed(msgspec.Struct, frozen=True):
    tickets: tuple[_Ticket, ...]


class _Found(msgspec.Struct, frozen=True):
    results: tuple[_Ticket, ...]
    next_page: str | None = None


class ZendeskTicketDesk:
    """Implements `tools.ports.TicketDesk`. `client` sends `{agent e-mail}/token` and the API token as basic credentials."""

    recognition = Recognition.KEY
    lists_tickets = True
    settles_after_seconds = 0.0

    def __init__(self, client: httpx.AsyncClient, *, page: int = _PAGE) -> None:
        self._wire = DeskWire(client)
        self._page = page

    async def open_ticket(self, tenant: str, ticket: NewTicket) -> Ticket:
        marks = Marks.of(tenant, ticket)
        stored = await self._by_mark(marks.ticket)
        if stored is None:
            wanted: dict[str, object] = {
                "subject": ticket.subject,
                "comment": {"body": text_with_foot(tenant, ticket)},
                "external_id": marks.ticket,
                "tags": [LABEL, marks.owner],
            }
            if ticket.contact is not None:
                wanted["requester"] = {"name": ticket.contact, "email": ticket.contact}
            made = await self._wire.write(
                _TICKETS, _One, body={"ticket": wanted}, headers={"Idempotency-Key": marks.ticket}
            )
            stored = made.ticket
        return _ticket(stored, ticket.customer_id, ticket.receipt)

    async def ticket_of(self, tenant: str, key: str) -> Ticket | None:
        stored = await self._by_mark(ticket_mark(tenant, key))
        return None if stored is None else _ticket(stored, None)

    async def find_tickets(self, tenant: str, customer_id: str, *, limit: int) -> Sequence[Ticket]:
        """Zendesk's search trails behind by up to a few minutes: a ticket opened just now may be missing."""
        mark = owner_mark(tenant, customer_id)
        own: list[Ticket] = []
        for number in range(1, MOST_PAGES + 1):
            page = await self._wire.read(
                _SEARCH,
                _Found,
                params={
                    "query": f"type:ticket tags:{mark}",
                    "sort_by": "created_at",
                    "sort_order": "desc",
                    "page": number,
                    "per_page": self._page,
                },
            )
            own += [_ticket(each, customer_id) for each in page.results if mark in each.tags]
            # The next page's address is not followed: it would take our credentials wherever it points.
            if len(own) >= limit or page.next_page is None:
                break
        return tuple(own[:limit])

    async def probe(self) -> None:
        """Whether the desk answers and lets us in."""
        await self._by_mark("probe")

    async def _by_mark(self, mark: str) -> _Ticket | None:
        listed = await self._wire.read(_TICKETS, _Listed, params={"external_id": mark})
        return min(listed.tickets, key=lambda each: each.id, default=None)


def _ticket(stored: _Ticket, customer_id: str | None, receipt: str | None = None) -> Ticket:
    text = stored.description or ""
    read = read_text(text)
    return Ticket(
        reference=f"#{stored.id}",
        receipt=receipt or (read.receipt if read else ""),
        customer_id=customer_id,
        subject=stored.subject or "",
        description=read.description if read else text,
        status=_STATUS.get(stored.status, TicketStatus.OPEN),
        created_at=stored.created_at,
        updated_at=stored.updated_at,
    )
