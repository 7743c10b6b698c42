"""
Help desk of who has none: each ticket is an e-mail to the team.

A mailbox recognises no key. The Message-ID is made of it, so a mail that does come twice can be told; but one whose fate is
unknown is not sent again: callers see that nothing is recognised and leave it to a person.
"""

from collections.abc import Sequence

from core.clock import Clock
from core.errors import DependencyError, DependencyRejectedInput, ToolMisconfigured
from core.records import NewTicket, Notification, Recognition, Ticket, TicketStatus
from tools.adapters.desks.marks import text_with_foot
from tools.adapters.desks.wire import DEPENDENCY
from tools.ports import NotificationChannel


class MailTicketDesk:
    """Implements `tools.ports.TicketDesk`. `address` is the team's; `channel` sends e-mail."""

    recognition = Recognition.NONE
    lists_tickets = False
    settles_after_seconds = 0.0

    def __init__(self, channel: NotificationChannel, *, address: str, clock: Clock) -> None:
        self._channel = channel
        self._address = address
        self._clock = clock

    async def open_ticket(self, tenant: str, ticket: NewTicket) -> Ticket:
        """
        Sends it, each time that it is called. The receipt is the reference: it stands in the subject.

        Raises:
            DependencyError: of `tickets`; `may_have_happened` says whether it may be on its way.
            ToolMisconfigured: the mail server does not know the team's address.
        """
        try:
            await self._channel.send(mail_for(tenant, ticket, self._address))
        except DependencyRejectedInput as exc:
            raise ToolMisconfigured("the address for tickets is refused by the mail server") from exc
        except DependencyError as exc:
            exc.dependency = DEPENDENCY
            raise
        now = self._clock.now()
        return Ticket(
            reference=ticket.receipt,
            receipt=ticket.receipt,
            customer_id=ticket.customer_id,
            subject=ticket.subject,
            description=ticket.description,
            status=TicketStatus.OPEN,
            created_at=now,
            updated_at=now,
        )

    async def ticket_of(self, tenant: str, key: str) -> Ticket | None:
        raise ToolMisconfigured("a mailbox finds no ticket", reason="not_listed")

    async def find_tickets(self, tenant: str, customer_id: str, *, limit: int) -> Sequence[Ticket]:
        raise ToolMisconfigured("a mailbox lists no tickets", reason="not_listed")


def mail_for(tenant: str, ticket: NewTicket, address: str) -> Notification:
    """Its Message-ID is made of tenant and key, so that the same ticket is always the same mail."""
    subject = ticket.subject if ticket.adds_to is None else f"{ticket.adds_to}: {ticket.subject}"
    return Notification(
        key=f"{tenant}:{ticket.key}",
        channel="email",
        address=address,
        subject=f"[{ticket.receipt}] {subject}",
        body=text_with_foot(tenant, ticket),
    )
