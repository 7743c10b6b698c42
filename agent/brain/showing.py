"""
What a flow shows of a lookup's result: orders, the account, tickets.
"""

import re
from collections.abc import Callable, Mapping

from agent.brain.flows.declared import Show
from agent.brain.session import Session
from agent.brain.wording import order_lines, profile_lines, ticket_lines
from tools.protocol import ToolOutcome

_ORDERS_SHOWN = 3
_NUMBER = re.compile(r"[A-Za-z]{0,4}[-#]?\d[\w-]{2,}")
_NEWEST_ONLY = re.compile(r"\b(?:last|latest|newest|most\s+recent)\b", re.IGNORECASE)


def _orders(session: Session, outcome: ToolOutcome, words: str) -> str:
    """Those that the words name, else the newest."""
    phrases = session.phrases
    session.notes["shows_orders"] = True
    orders = outcome.value.get("orders", [])
    numbers = {_bare(number) for number in _NUMBER.findall(words)}
    named = [order for order in orders if _bare(order["order_id"]) in numbers]
    newest = orders[: 1 if _NEWEST_ONLY.search(words) else _ORDERS_SHOWN]
    if not orders:
        return phrases.orders_none
    if numbers and not named:
        return f"{phrases.order_unknown}\n{order_lines(newest, phrases)}"
    return order_lines(named or newest, phrases)


def _profile(session: Session, outcome: ToolOutcome, _: str) -> str:
    return profile_lines(outcome.value.get("profile", {}), session.phrases)


def _tickets(session: Session, outcome: ToolOutcome, _: str) -> str:
    lines = ticket_lines(outcome.value.get("tickets", []), session.phrases)
    return f"{outcome.summary}\n{lines}".strip()


def _nothing(*_: object) -> str:
    return ""


SHOWN: Mapping[Show, Callable[[Session, ToolOutcome, str], str]] = {
    "orders": _orders,
    "profile": _profile,
    "tickets": _tickets,
    "nothing": _nothing,
}


def _bare(number: str) -> str:
    return re.sub(r"\W|_", "", number).casefold()
