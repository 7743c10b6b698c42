"""
What the tools need from the outside. Implementations: `state.sql` (records), `tools.knowledge` (search),
`tools.adapters`.

Every method may raise `DependencyError`: the system behind it could not be asked, or failed. Empty results
mean "nothing there".
"""

from collections.abc import Sequence
from typing import Protocol

from core.records import Customer, EffectRecord, NewTicket, Notification, SearchResult, Ticket


class KnowledgeSearch(Protocol):
    async def search(
        self, tenant: str, words: str, *, limit: int, language: str | None = None, context: Sequence[str] = ()
    ) -> SearchResult:
        """
        Best passages first; empty when nothing fits. `context` is what the customer said before in the
        conversation, oldest first, and weighs less.

        Raises:
            DependencyUnavailable: there is no index to ask. Never an empty result for that.
        """
        ...


class TicketDesk(Protocol):
    async def open_ticket(self, tenant: str, ticket: NewTicket) -> Ticket:
        """The same `ticket.key` always gives the same ticket, however often it is asked."""
        ...

    async def find_tickets(self, tenant: str, customer_id: str, *, limit: int) -> Sequence[Ticket]:
        """The customer's tickets, newest first."""
        ...


class CustomerDirectory(Protocol):
    async def customer(self, tenant: str, customer_id: str) -> Customer:
        """
        The customer with the newest 20 orders, newest first.

        Raises:
            NotFound: the directory does not know this customer.
        """
        ...


class NotificationChannel(Protocol):
    """
    One way to reach a customer; `name` is what a tool call names it by, e.g. `email`.

    `send` returns the channel's own id of the sent message. `DependencyError.may_have_happened` tells whether
    it may be repeated.
    """

    name: str

    def is_valid_address(self, address: str) -> bool: ...

    async def send(self, notification: Notification) -> str: ...


class EffectLedger(Protocol):
    """
    Where plans of effects stand before they run, so that a re-run of the turn repeats none. Part of the
    conversation store.
    """

    async def begin_effect(self, effect: EffectRecord) -> EffectRecord:
        """Store the plan, or return the one that stands under the key already."""
        ...

    async def effect(self, tenant: str, key: str) -> EffectRecord | None:
        """What stands under the key, whether planned or finished."""
        ...

    async def finish_effect(self, effect: EffectRecord) -> None: ...
