"""
What is true of a ticket whichever desk it goes to: when two say the same, and what one call to the desk does.
"""

import re
from collections.abc import Iterable
from datetime import datetime, timedelta

from core.errors import InvalidInput
from core.records import NewTicket, Ticket, TicketStatus
from tools.knowledge.words import terms
from tools.ports import TakesAdditions, TicketDesk

_SIMILAR = 0.6
"""
Share of stems in common (Dice). Of questions of Banking77 told again (a greeting, a plea, a sentence more, two words less) 97 %
reach it, of pairs with different intents fewer than 1 in 1,000 do (tests/unit/tools/test_similar_tickets.py).
"""
_WORD = re.compile(r"\w+")
_WITHIN = timedelta(days=30)


def similar_ticket(wanted: NewTicket, known: Iterable[Ticket], *, now: datetime) -> Ticket | None:
    """The customer's open ticket that says nearly the same as `wanted`, the most similar one; None where there is none."""
    best: Ticket | None = None
    best_share = _SIMILAR
    for ticket in known:
        if (
            ticket.customer_id != wanted.customer_id
            or ticket.status is TicketStatus.SOLVED
            or ticket.receipt == wanted.receipt  # the very ticket, opened before a crash
            or ticket.created_at < now - _WITHIN
        ):
            continue
        share = _in_common(f"{wanted.subject} {wanted.description}", f"{ticket.subject} {ticket.description}")
        if share >= best_share:
            best, best_share = ticket, share
    return best


async def put_on_desk(desk: TicketDesk, tenant: str, wanted: NewTicket) -> Ticket:
    """One call: a new ticket, or words added to an open one."""
    if wanted.adds_to is None:
        return await desk.open_ticket(tenant, wanted)
    if not isinstance(desk, TakesAdditions):
        raise InvalidInput("this desk adds nothing to a ticket", reason="no_additions")
    return await desk.add_to_ticket(tenant, wanted.adds_to, wanted)


def _in_common(one: str, other: str) -> float:
    words, others = frozenset(terms(one)), frozenset(terms(other))
    if not words or not others:  # made of words that carry nothing
        return float(_plain(one) == _plain(other))
    return 2 * len(words & others) / (len(words) + len(others))


def _plain(text: str) -> list[str]:
    return _WORD.findall(text.casefold())
