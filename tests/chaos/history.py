"""
What the outside saw of a run, and what the stores hold after it: values that a checker can compare.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from core.messages import TurnResult


@dataclass(frozen=True)
class Told:
    """An answer that a client heard."""

    turn_id: str
    text: str
    degraded: tuple[str, ...]
    durability: str


@dataclass(frozen=True)
class Attempt:
    """One request. `status` 0: no answer came."""

    at: float
    seconds: float
    status: int
    is_stored: bool


@dataclass
class Sent:
    """One message of a client, over all its attempts; times are of the monotonic clock, `order` counts within the sender."""

    sender: str
    order: int
    client_message_id: str
    text: str
    sent_at: float
    conversation_id: str | None = None
    acknowledged_at: float | None = None
    answered_at: float | None = None
    told: list[Told] = field(default_factory=list)
    attempts: list[Attempt] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        """From the first attempt to the answer."""
        return (self.answered_at or float("inf")) - self.sent_at


@dataclass(frozen=True)
class StoredMessage:
    conversation_id: str
    seq: int
    role: str
    text: str
    turn_id: str | None
    client_message_id: str | None


@dataclass(frozen=True)
class StoredTurn:
    turn_id: str
    conversation_id: str
    first_seq: int
    last_seq: int
    result: TurnResult | None


@dataclass(frozen=True)
class StoredConversation:
    conversation_id: str
    customer_id: str
    head: int
    last_user: int
    answered: int
    state_version: int
    state: Mapping[str, Any]
    running_turn: str | None


@dataclass(frozen=True)
class StoredTicket:
    key: str
    receipt: str
    conversation_id: str
    subject: str


@dataclass
class Stored:
    """`receipts` are those of the customers' states; `waiting` names what the outbox and the journal still hold."""

    conversations: list[StoredConversation] = field(default_factory=list)
    messages: list[StoredMessage] = field(default_factory=list)
    turns: list[StoredTurn] = field(default_factory=list)
    tickets: list[StoredTicket] = field(default_factory=list)
    receipts: dict[str, tuple[str, ...]] = field(default_factory=dict)
    waiting: list[str] = field(default_factory=list)
