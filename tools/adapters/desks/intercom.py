"""
Help desk: Intercom's tickets, by its API 2.16.

Intercom knows no key for tickets: the mark stands in the foot of the description, by which a ticket is looked up. The search
trails behind by seconds, so that whoever looks waits for `settles_after_seconds`.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import httpx
import msgspec

from core.records import NewTicket, Recognition, Ticket, TicketStatus
from tools.adapters.desks.marks import ReadText, owner_mark, read_text, text_with_foot, ticket_mark
from tools.adapters.desks.wire import MOST_PAGES, DeskWire, raise_for_desk

HEADERS: Mapping[str, str] = {"Accept": "application/json", "Intercom-Version": "2.16"}
_SETTLES_SECONDS = 30.0
_PAGE = 150
_TITLE = "_default_title_"
_DESCRIPTION = "_default_description_"
_STATUS: Mapping[str, TicketStatus] = {
    "submitted": TicketStatus.OPEN,
    "in_progress": TicketStatus.OPEN,
    "waiting_on_customer": TicketStatus.PENDING,
    "resolved": TicketStatus.SOLVED,
}


class _State(msgspec.Struct, frozen=True):
    category: str


class _Ticket(msgspec.Struct, frozen=True):
    ticket_id: str
    created_at: int
    updated_at: int
    ticket_attributes: dict[str, Any] = {}
    ticket_state: _State | None = None

    def text(self, name: str) -> str:
        value = self.ticket_attributes.get(name)
        return value if isinstance(value, str) else ""

    @property
    def read(self) -> ReadText | None:
        return read_text(self.text(_DESCRIPTION))


class _Next(msgspec.Struct, frozen=True):
    starting_after: str | None = None


class _Pages(msgspec.Struct, frozen=True):
    next: _Next | None = None


class _Found(msgspec.Struct, frozen=True):
    tickets: tuple[_Ticket | None, ...]
    pages: _Pages | None = None


class _Any(msgspec.Struct, frozen=True):
    """An answer of which nothing is needed."""


class IntercomTicketDesk:
    """
    Implements `tools.ports.TicketDesk`. `ticket_type` is the id of a ticket type of the workspace; `client` sends an access
    token as bearer.
    """

    recognition = Recognition.LOOKUP
    lists_tickets = True
    settles_after_seconds = _SETTLES_SECONDS

    def __init__(self, client: httpx.AsyncClient, *, ticket_type: str, page: int = _PAGE) -> None:
        self._wire = DeskWire(client)
        self._contacts = DeskWire(client, check=_raise_unless_known)
        self._ticket_type = ticket_type
        self._page = page

    async def open_ticket(self, tenant: str, ticket: NewTicket) -> Ticket:
        made = await self._wire.write(
            "/tickets",
            _Ticket,
            body={
                "ticket_type_id": self._ticket_type,
                "contacts": [await self._contact(ticket)],
                "ticket_attributes": {
                    _TITLE: ticket.subject,
                    _DESCRIPTION: text_with_foot(tenant, ticket),
                },
            },
        )
        return _ticket(made, ticket.customer_id)

    async def ticket_of(self, tenant: str, key: str) -> Ticket | None:
        mark = ticket_mark(tenant, key)
        found = await self._with_word(mark)
        same = [each for each in found if each.read is not None and each.read.marks.ticket == mark]
        return _ticket(min(same, key=_age), None) if same else None

    async def find_tickets(self, tenant: str, customer_id: str, *, limit: int) -> Sequence[Ticket]:
        """Intercom's search trails behind by seconds: a ticket opened just now may be missing."""
        mark = owner_mark(tenant, customer_id)
        found = await self._with_word(mark)
        own = [each for each in found if each.read is not None and each.read.marks.owner == mark]
        # The search promises no order.
        newest = sorted(own, key=_age, reverse=True)[:limit]
        return tuple(_ticket(each, customer_id) for each in newest)

    async def probe(self) -> None:
        """Whether Intercom answers and lets us in."""
        await self._with_word("probe")

    async def _contact(self, ticket: NewTicket) -> Mapping[str, str]:
        """An address makes a contact where there is none; without one, somebody with our own id must be there first."""
        if ticket.contact is not None:
            return {"email": ticket.contact}
        external_id = ticket.customer_id or ticket.conversation_id
        await self._contacts.write("/contacts", _Any, body={"role": "user", "external_id": external_id})
        return {"external_id": external_id}

    async def _with_word(self, mark: str) -> Sequence[_Ticket]:
        found: list[_Ticket] = []
        after: str | None = None
        for _ in range(MOST_PAGES):
            pagination: dict[str, object] = {"per_page": self._page}
            if after is not None:
                pagination["starting_after"] = after
            page = await self._wire.read(
                "/tickets/search",
                _Found,
                body={
                    "query": {"field": "description", "operator": "~", "value": mark},
                    "pagination": pagination,
                },
            )
            found += [each for each in page.tickets if each is not None]
            following = page.pages.next if page.pages is not None else None
            after = following.starting_after if following is not None else None
            if after is None:
                break
        return found


def _raise_unless_known(answer: httpx.Response) -> None:
    """A contact with that id is there already: 409, which is all that was wanted."""
    if answer.status_code != 409:
        raise_for_desk(answer)


def _age(ticket: _Ticket) -> tuple[int, int]:
    number = ticket.ticket_id
    return ticket.created_at, int(number) if number.isascii() and number.isdigit() else 0


def _ticket(stored: _Ticket, customer_id: str | None) -> Ticket:
    read = stored.read
    state = stored.ticket_state
    return Ticket(
        reference=f"#{stored.ticket_id}",
        receipt=read.receipt if read else "",
        customer_id=customer_id,
        subject=stored.text(_TITLE),
        description=read.description if read else stored.text(_DESCRIPTION),
        status=_STATUS.get(state.category, TicketStatus.OPEN) if state else TicketStatus.OPEN,
        created_at=datetime.fromtimestamp(stored.created_at, UTC),
        updated_at=datetime.fromtimestamp(stored.updated_at, UTC),
    )
