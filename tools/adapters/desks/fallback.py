"""
What the tools see of a desk that has e-mail to fall back on: a refusal for good becomes a promise.

The promise goes through the outbox, which asks the desk itself, and then sends the mail (`agent.workers.tickets`).
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from core.errors import DependencyUnavailable
from core.records import NewTicket, Recognition, Ticket
from tools.adapters.desks.wire import DEPENDENCY
from tools.classify import is_refused_for_good
from tools.ports import TakesAdditions, TicketDesk

T = TypeVar("T")


class DeskWithFallback:
    """Implements `tools.ports.TicketDesk`."""

    def __init__(self, desk: TicketDesk) -> None:
        self._desk = desk

    @property
    def recognition(self) -> Recognition:
        return self._desk.recognition

    @property
    def settles_after_seconds(self) -> float:
        return self._desk.settles_after_seconds

    @property
    def lists_tickets(self) -> bool:
        return self._desk.lists_tickets

    async def open_ticket(self, tenant: str, ticket: NewTicket) -> Ticket:
        return await _put_off_if_refused(lambda: self._desk.open_ticket(tenant, ticket))

    async def ticket_of(self, tenant: str, key: str) -> Ticket | None:
        return await _put_off_if_refused(lambda: self._desk.ticket_of(tenant, key))

    async def find_tickets(self, tenant: str, customer_id: str, *, limit: int) -> Sequence[Ticket]:
        return await _put_off_if_refused(lambda: self._desk.find_tickets(tenant, customer_id, limit=limit))


class AddingDeskWithFallback(DeskWithFallback):
    """Implements `tools.ports.TakesAdditions`, too."""

    def __init__(self, desk: TicketDesk, additions: TakesAdditions) -> None:
        super().__init__(desk)
        self._additions = additions

    async def add_to_ticket(self, tenant: str, reference: str, addition: NewTicket) -> Ticket:
        return await _put_off_if_refused(lambda: self._additions.add_to_ticket(tenant, reference, addition))


def with_fallback(desk: TicketDesk) -> TicketDesk:
    if isinstance(desk, TakesAdditions):
        return AddingDeskWithFallback(desk, desk)
    return DeskWithFallback(desk)


async def _put_off_if_refused(ask: Callable[[], Awaitable[T]]) -> T:
    try:
        return await ask()
    except Exception as exc:
        if not is_refused_for_good(exc):
            raise
        raise DependencyUnavailable(DEPENDENCY, f"{DEPENDENCY}: refused for good", reason="refused") from exc
