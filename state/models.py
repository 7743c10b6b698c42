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
    """
    A dialogue that needs several turns. `slots` holds what is known, the newest last; `asked` is the slot that the last reply
    asked for, or `confirm`, and `misses` how many answers in a row were none. `touched_at` is when it last went on; what an older
    version wrote has none.
    """

    name: str
    slots: dict[str, str] = {}
    asked: str | None = None
    started_at: datetime | None = None
    touched_at: datetime | None = None
    misses: int = 0


class PendingAction(msgspec.Struct, frozen=True):
    """
    A tool call that waits for the customer's yes: exactly these arguments, asked about in `question`, in the reply of the turn
    `turn_id`.
    """

    tool: str
    arguments: dict[str, Any]
    question: str
    turn_id: str
    asked_at: datetime


class Summary(msgspec.Struct, frozen=True):
    """What a model noted of the messages up to number `upto`."""

    text: str
    upto: int


class ConversationState(msgspec.Struct, frozen=True):
    """
    `offer` is what the last reply offered (`ticket`, `handoff`, …), so that a bare "yes" can be understood; `topic` the article
    ids of the last answer; `notes` belongs to the brain that wrote it; `pending` waits for a yes in the next message; `waiting`
    are dialogues that were asked for beside `flow` and come after it; `summary` stands for what no model reads any more;
    `deployment` is who was chosen to answer it (`agent.control.choice`), None where there was nothing to choose from.
    """

    flow: OpenFlow | None = None
    offer: str | None = None
    topic: tuple[str, ...] = ()
    notes: dict[str, Any] = {}
    pending: PendingAction | None = None
    summary: Summary | None = None
    waiting: tuple[OpenFlow, ...] = ()
    deployment: str | None = None


class CustomerState(msgspec.Struct, frozen=True):
    """
    `locale` is what was spoken last. `receipts` are the customer's newest first, at most 20. `locale_on_record` is what the
    company's directory said at `record_read_at`, None where that named no language or did not answer.
    """

    locale: str | None = None
    last_conversation_id: str | None = None
    receipts: tuple[str, ...] = ()
    locale_on_record: str | None = None
    record_read_at: datetime | None = None

    def with_receipts_of(self, other: "CustomerState") -> "CustomerState":
        """Both states' receipts, this one's first."""
        receipts = tuple(dict.fromkeys(self.receipts + other.receipts))[:_RECEIPTS_KEPT]
        return msgspec.structs.replace(self, receipts=receipts)
