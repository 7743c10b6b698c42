"""
Read the invented shop's articles, customers, tickets and questions from the files beside this one.

Dates of orders are kept as days from today, so the demo never looks old.
"""

from datetime import datetime, timedelta
from pathlib import Path

import msgspec

from core.ids import receipt_for
from core.records import Article, Customer, NewTicket, Order
from tools.knowledge.read import read_articles

COMPANY = "Quillmere Cycles"
CONTACT = "care@quillmere.example"

_HERE = Path(__file__).resolve().parent
ARTICLES = _HERE / "articles"


class _Order(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    order_id: str
    placed_days_ago: int
    status: str
    items: tuple[str, ...]
    total_cents: int
    currency: str
    tracking: str | None
    expected_in_days: int | None


class _Customer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    customer_id: str
    name: str
    email: str
    phone: str | None
    locale: str
    timezone: str
    attributes: dict[str, str]
    orders: tuple[_Order, ...]


class _Ticket(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    customer_id: str
    subject: str
    description: str


def articles() -> tuple[Article, ...]:
    """The help centre, by id: a file's name without its suffix."""
    return tuple(one for one in read_articles(ARTICLES, source=COMPANY) if isinstance(one, Article))


def customers(now: datetime) -> tuple[Customer, ...]:
    stored = msgspec.json.decode((_HERE / "customers.json").read_bytes(), type=tuple[_Customer, ...])
    return tuple(
        Customer(
            customer_id=each.customer_id,
            name=each.name,
            email=each.email,
            phone=each.phone,
            locale=each.locale,
            timezone=each.timezone,
            attributes=dict(each.attributes),
            orders=tuple(_order(order, now) for order in each.orders),
        )
        for each in stored
    )


def tickets() -> tuple[NewTicket, ...]:
    """Each with a key of its own, so that opening them again opens nothing."""
    stored = msgspec.json.decode((_HERE / "tickets.json").read_bytes(), type=tuple[_Ticket, ...])
    return tuple(
        NewTicket(
            key=f"demo:{number}",
            receipt=receipt_for(f"demo:{number}"),
            customer_id=each.customer_id,
            conversation_id="",
            subject=each.subject,
            description=each.description,
        )
        for number, each in enumerate(stored, start=1)
    )


def questions() -> tuple[str, ...]:
    """What the demo page suggests to ask."""
    lines = (_HERE / "questions.md").read_text(encoding="utf-8").splitlines()
    return tuple(line.removeprefix("- ") for line in lines if line.startswith("- "))


def _order(stored: _Order, now: datetime) -> Order:
    expected = stored.expected_in_days
    return Order(
        order_id=stored.order_id,
        placed_at=now - timedelta(days=stored.placed_days_ago),
        status=stored.status,
        items=stored.items,
        total_cents=stored.total_cents,
        currency=stored.currency,
        tracking=stored.tracking,
        expected_at=None if expected is None else now + timedelta(days=expected),
    )
