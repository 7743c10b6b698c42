"""
What the tools need from the outside. Implementations: `state.sql` (records), `tools.knowledge` (search),
`tools.adapters`.

Every method may raise `DependencyError`: the system behind it could not be asked, or failed. Empty results
mean "nothing there".
"""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Literal, Protocol, runtime_checkable

from core.identity import Audience
from core.notification_rules import SendingRate
from core.records import (
    Admission,
    Bounce,
    Customer,
    EffectRecord,
    NewTicket,
    Notification,
    Recognition,
    SearchResult,
    Ticket,
)


class KnowledgeSearch(Protocol):
    async def search(
        self,
        tenant: str,
        words: str,
        *,
        limit: int,
        language: str | None = None,
        context: Sequence[str] = (),
        replies: Sequence[str] = (),
        audience: Audience = Audience.PUBLIC,
        languages: Collection[str] = (),
    ) -> SearchResult:
        """
        Best passages first; empty when nothing fits. `context` is what the customer said before in the
        conversation, oldest first, and weighs less. `replies` are what was answered to it, oldest first: a search may
        learn from them which thing is talked about, and nothing else, or it would only find its own words again.

        Only what the `audience` may read, and never an internal article, whatever it says. `language` is preferred; where
        `languages` are given, there is nothing in others.

        Raises:
            DependencyUnavailable: there is no index to ask. Never an empty result for that.
        """
        ...


class TicketDesk(Protocol):
    """
    `recognition` says what becomes of a call that is made again; everything else follows from it. A ticket may not be seen by
    `ticket_of` and `find_tickets` before `settles_after_seconds` have passed. `lists_tickets` is False where there is nothing
    that `find_tickets` could ask.
    """

    @property
    def recognition(self) -> Recognition: ...

    @property
    def settles_after_seconds(self) -> float: ...

    @property
    def lists_tickets(self) -> bool: ...

    async def open_ticket(self, tenant: str, ticket: NewTicket) -> Ticket:
        """
        Where `recognition` is `KEY`, the same `ticket.key` always gives the same ticket, however often it is asked.

        Other desks open one ticket per call: whoever calls keeps the ledger (`agent.workers.tickets`).
        """
        ...

    async def ticket_of(self, tenant: str, key: str) -> Ticket | None:
        """
        The ticket that was opened under the key; None where there is none. Never asked where `recognition` is `NONE`.
        """
        ...

    async def find_tickets(self, tenant: str, customer_id: str, *, limit: int) -> Sequence[Ticket]:
        """The customer's tickets, newest first. Raises ToolMisconfigured where the desk lists none."""
        ...


@runtime_checkable
class TakesAdditions(Protocol):
    """A desk that can add a customer's words to a ticket that is open already."""

    async def add_to_ticket(self, tenant: str, reference: str, addition: NewTicket) -> Ticket:
        """
        The same `addition.key` adds once.

        Raises:
            NotFound: `addition.customer_id` has no such ticket.
        """
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
    it may be repeated. Where `recognises_repeats`, it always may: the receiver drops what it has seen.
    """

    name: str

    @property
    def recognises_repeats(self) -> bool: ...

    def is_valid_address(self, address: str) -> bool: ...

    async def send(self, notification: Notification) -> str: ...


class BounceSource(Protocol):
    """A channel that learns after the sending that an address does not work."""

    name: str

    async def bounces(self, *, since: datetime) -> Sequence[Bounce]:
        """Addresses refused for good since then; one may come more than once."""
        ...


class NotificationLog(Protocol):
    """What was sent lately, and which addresses do not work: one for all replicas. `recipient` is `recipient_of` an address."""

    async def admit(
        self,
        tenant: str,
        key: str,
        *,
        channel: str,
        recipient: str,
        text: str,
        now: datetime,
        repeat_window: timedelta,
        rate: SendingRate,
    ) -> Admission:
        """
        `text` is a digest. Of all that are promised to one address, the one promised first goes first; what the rate
        does not allow yet gets a slot and waits for it.
        """
        ...

    async def settle(
        self,
        tenant: str,
        key: str,
        *,
        came_to: Literal["sent", "unknown", "not_sent"],
        reference: str | None = None,
    ) -> None:
        """What became of a sending that was admitted."""
        ...

    async def refuse_address(
        self, tenant: str, *, channel: str, recipient: str, reason: str, at: datetime
    ) -> None:
        """Once; what is known of it already stays."""
        ...

    async def refused_among(self, tenant: str, recipients: Collection[str]) -> frozenset[str]: ...

    async def senders_to(self, recipient: str) -> Sequence[str]:
        """The tenants that have sent something to this address."""
        ...

    async def forget(self, before: datetime) -> None:
        """Sendings older than that."""
        ...


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
