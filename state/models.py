"""
What is remembered of a conversation, and of a customer across conversations.

Small on purpose: the messages themselves are the log, not the state. A field that is added keeps the version, one that
changes its name or shape raises it (`state.upcast`).
"""

from datetime import datetime
from typing import Any

import msgspec

_RECEIPTS_KEPT = 20


class OpenFlow(msgspec.Struct, frozen=True):
    """A dialogue that needs several turns. `slots` holds what is known, `asked` the slot that the last reply asked for."""

    name: str
    slots: dict[str, str] = {}
    asked: str | None = None
    started_at: datetime | None = None


class ConversationState(msgspec.Struct, frozen=True):
    """
    `offer` is what the last reply offered (`ticket`, `handoff`, …), so that a bare "yes" can be understood; `topic` the article
    ids of the last answer; `notes` belongs to the brain that wrote it.
    """

    flow: OpenFlow | None = None
    offer: str | None = None
    topic: tuple[str, ...] = ()
    notes: dict[str, Any] = {}


class CustomerState(msgspec.Struct, frozen=True):
    """`receipts` are the customer's newest first, at most 20."""

    locale: str | None = None
    last_conversation_id: str | None = None
    receipts: tuple[str, ...] = ()

    def with_receipts_of(self, other: "CustomerState") -> "CustomerState":
        """Both states' receipts, this one's first."""
        receipts = tuple(dict.fromkeys(self.receipts + other.receipts))[:_RECEIPTS_KEPT]
        return msgspec.structs.replace(self, receipts=receipts)
