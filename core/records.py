"""
The company's records that tools and stores exchange: customers, orders, tickets, notifications, articles.

Plain values; who may see which is decided by the tools.
"""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Literal

import msgspec


class Order(msgspec.Struct, frozen=True):
    order_id: str
    placed_at: datetime
    status: str
    items: tuple[str, ...]
    total_cents: int
    currency: str
    tracking: str | None = None
    expected_at: datetime | None = None


class Customer(msgspec.Struct, frozen=True):
    """`timezone` is an IANA name; `attributes` is what the company keeps beside (plan, membership…)."""

    customer_id: str
    name: str
    email: str | None = None
    phone: str | None = None
    locale: str | None = None
    timezone: str | None = None
    attributes: dict[str, Any] = {}
    orders: tuple[Order, ...] = ()


class TicketStatus(StrEnum):
    OPEN = "open"
    PENDING = "pending"
    SOLVED = "solved"


class NewTicket(msgspec.Struct, frozen=True):
    """What a customer asks for. `key` is the idempotency key, `receipt` the number the customer already has."""

    key: str
    receipt: str
    customer_id: str | None
    conversation_id: str
    subject: str
    description: str
    contact: str | None = None


class Ticket(msgspec.Struct, frozen=True):
    """`reference` is the desk's own number."""

    reference: str
    receipt: str
    customer_id: str | None
    subject: str
    description: str
    status: TicketStatus
    created_at: datetime
    updated_at: datetime


class Notification(msgspec.Struct, frozen=True):
    """`key` makes a repeat recognisable; `address` belongs to the customer the turn is for, never to a model's argument."""

    key: str
    channel: str
    address: str
    subject: str
    body: str


class Article(msgspec.Struct, frozen=True):
    """A help article as ingested. `body` is Markdown or plain text; `content_hash` covers title, body and url."""

    article_id: str
    title: str
    body: str
    url: str | None = None
    category: str | None = None
    language: str = "en"
    source: str = ""
    content_hash: str = ""
    updated_at: datetime | None = None


class Passage(msgspec.Struct, frozen=True):
    """
    A found piece of an article, best first in a result.

    `text` stands literally in the article's body. `score` orders results of one search only; `cosine` (−1…1, None without
    vectors) and `lexical` (0…1, share of the query's weighted words found) can be compared across searches.
    """

    article_id: str
    title: str
    url: str | None
    heading: str
    text: str
    score: float
    cosine: float | None = None
    lexical: float = 0.0
    category: str | None = None
    language: str = "en"


class OutboxKind(StrEnum):
    TICKET = "ticket"
    NOTIFICATION = "notification"


class OutboxItem(msgspec.Struct, frozen=True):
    """
    An effect to be carried out later, exactly once per (tenant, key).

    Written in the commit of the turn that promised it, so the promise and the work cannot part. `payload` is a `NewTicket` or a
    `Notification` as builtins (`msgspec.to_builtins`).
    """

    key: str
    kind: OutboxKind
    tenant: str
    conversation_id: str
    payload: dict[str, Any]
    locale: str = "en"
    attempts: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class EffectRecord:
    """
    One planned tool call with an effect. `status` goes intent → confirmed | queued | unknown | failed.

    A re-run of the turn finds the stored plan under the same key and carries on from it, whatever its brain says now.
    `is_journaled` says that it was planned while SQL could not be asked whether anybody else has begun it.
    """

    tenant: str
    key: str
    turn_id: str
    step: int
    tool: str
    arguments: dict[str, Any]
    status: Literal["intent", "confirmed", "queued", "unknown", "failed"] = "intent"
    reference: str | None = None
    value: dict[str, Any] = field(default_factory=dict)
    is_journaled: bool = False


class SearchResult(msgspec.Struct, frozen=True):
    """
    Passages best first; empty means that nothing fits.

    `is_lexical_only` says that the vectors could not be asked, `built_at` when the index was made.
    """

    passages: tuple[Passage, ...] = ()
    is_lexical_only: bool = False
    built_at: datetime | None = None
