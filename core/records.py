"""
The company's records that tools and stores exchange: customers, orders, tickets, notifications, articles.

Plain values; who may see which is decided by the tools.
"""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Literal

import msgspec

from core.identity import Audience
from core.ids import derived_id


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
    """
    What a customer asks for. `key` is the idempotency key, `receipt` the number the customer already has.

    `adds_to` is the reference of the customer's own ticket to which the words shall be added, in place of a new ticket.
    """

    key: str
    receipt: str
    customer_id: str | None
    conversation_id: str
    subject: str
    description: str
    contact: str | None = None
    adds_to: str | None = None


class Recognition(StrEnum):
    """How a ticket desk can be kept from opening a ticket twice when the same one is asked for again."""

    KEY = "key"
    """It knows the key: opening again gives the same ticket."""
    LOOKUP = "lookup"
    """It does not, but can be asked which ticket a key belongs to (by an external reference)."""
    NONE = "none"
    """Neither: where the fate of a call is not known, a person has to look."""


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
    """
    `key` makes a repeat recognisable; `address` belongs to the customer the turn is for, never to a model's argument.
    `timezone` is that customer's, an IANA name.
    """

    key: str
    channel: str
    address: str
    subject: str
    body: str
    timezone: str | None = None


def recipient_of(channel: str, address: str) -> str:
    """Stands for an address where it need only be recognised: the records about sendings hold none."""
    return derived_id("rcpt", channel, address.strip().casefold())


class Bounce(msgspec.Struct, frozen=True):
    """An address that a channel's provider found not to work, and when."""

    address: str
    reason: str
    at: datetime


class Admission(msgspec.Struct, frozen=True):
    """
    Whether a notification may go out now. `go`: it is noted as begun. `wait`: not before `wait_seconds`, because of `why`.
    `sent`: the same text has just gone to this address, as `reference`. `doubtful`: it may have.
    """

    answer: Literal["go", "wait", "sent", "doubtful"]
    wait_seconds: float = 0.0
    why: str = ""
    reference: str | None = None


class Article(msgspec.Struct, frozen=True):
    """
    A help article as ingested. `body` is Markdown or plain text; `content_hash` covers all that the source says of it.

    From `expires_at` on it is not found any more. `version` is that of the knowledge base in which it came to be as it is.
    """

    article_id: str
    title: str
    body: str
    url: str | None = None
    category: str | None = None
    language: str = "en"
    source: str = ""
    content_hash: str = ""
    updated_at: datetime | None = None
    audience: Audience = Audience.PUBLIC
    expires_at: datetime | None = None
    version: int = 0


class Release(msgspec.Struct, frozen=True):
    """A version of a tenant's knowledge base: what an ingest came to. `note` says what it changed."""

    version: int
    at: datetime
    articles: int
    note: str = ""
    is_served: bool = False


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


class TeamChannel(StrEnum):
    """
    Ways to the company's own team. Names that customers' channels never have, so a version that does not know them sends nothing
    over them, and leaves it to one that does.
    """

    EMAIL = "handoff.email"
    WEBHOOK = "handoff.webhook"


_TEAM_CHANNELS = frozenset(TeamChannel)


class OutboxKind(StrEnum):
    TICKET = "ticket"
    NOTIFICATION = "notification"


class OutboxItem(msgspec.Struct, frozen=True):
    """
    An effect to be carried out later, exactly once per (tenant, key).

    Written in the commit of the turn that promised it, so the promise and the work cannot part. `payload` is a `NewTicket` or a
    `Notification` as builtins (`msgspec.to_builtins`); `recipient` is whom the latter is for (`recipient_of`). `attempts` counts
    from 1, and from 0 for what an operator has looked at and put back. With an `error` it is put there for a person, who must
    look at it first.
    """

    key: str
    kind: OutboxKind
    tenant: str
    conversation_id: str
    payload: dict[str, Any]
    locale: str = "en"
    attempts: int = 0
    recipient: str | None = None
    error: str | None = None

    @property
    def is_for_team(self) -> bool:
        """It is no promise to the customer, who hears nothing of it."""
        return self.kind is OutboxKind.NOTIFICATION and self.payload.get("channel") in _TEAM_CHANNELS


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

    `is_lexical_only` says that the vectors could not be asked, `built_at` when the index was made, `is_stand_in` that the
    company's own search was down and what was ingested was searched in its place.
    """

    passages: tuple[Passage, ...] = ()
    is_lexical_only: bool = False
    built_at: datetime | None = None
    is_stand_in: bool = False


class Feedback(msgspec.Struct, frozen=True, kw_only=True):
    """
    What a customer thinks of an answer: a score from 1 to 5, or thumbs `up` or `down`. `given_by` is the caller's principal; each
    has one word on a turn, the last.
    """

    conversation_id: str
    turn_id: str
    given_by: str
    score: int | None = None
    thumbs: Literal["up", "down"] | None = None
    comment: str | None = None
    at: datetime
