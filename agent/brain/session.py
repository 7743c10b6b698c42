"""
What one turn of the embedded brain works on: what was said, what is being said, and what to remember of it.

Its parts (`lookup`, `dialogue`, `embedded`) share it; none of them knows the others' fields.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import msgspec

from agent.brain.base import BrainReply, ToolCaller, TurnInput
from agent.brain.draft import Draft
from agent.brain.phrases import Phrases
from core.messages import TurnStatus
from state.models import OpenFlow
from tools.protocol import ToolOutcome


class Offer(StrEnum):
    """What a bare "yes" takes. Stored in the conversation's state between two turns."""

    TICKET = "ticket"
    PERSON = "handoff"
    CHOICE = "choice"
    """Which of several articles is meant."""
    RETRY = "ticket_retry"
    """Once more what failed, as it was; from whichever flow."""
    SIMILAR_TICKET = "ticket_similar"
    """Whether to add to the open ticket that says nearly the same, or to open another."""
    ANOTHER_TICKET = "ticket_another"
    USUAL_CHANNEL = "notify"


TICKET = "ticket"
TICKET_SLOTS = ("subject", "description", "contact")
"""The flow that both brains know: a model that opens a ticket leaves what it knows for it (`flows/builtin/ticket.yaml`)."""

ABOUT_A_SIMILAR_TICKET = frozenset({Offer.SIMILAR_TICKET, Offer.ANOTHER_TICKET})


@dataclass(slots=True, kw_only=True)
class Session:
    """
    `offer` is what the last reply offered, gone once it is taken or passed over; `made_offer` what this one
    offers.

    Notes: `question` is the last one with what it leaned on, `unanswered` the last one that nothing was found
    for, `similar` the reference of the ticket that says nearly the same, `choices` the titles of the last question back,
    `shows_orders` whether the orders are what was spoken of.
    """

    turn: TurnInput
    tools: ToolCaller
    draft: Draft
    phrases: Phrases
    contact: str | None
    flow: OpenFlow | None
    waiting: tuple[OpenFlow, ...]
    offer: str | None
    topic: tuple[str, ...]
    notes: dict[str, Any]
    made_offer: Offer | None = None
    quick_replies: tuple[str, ...] = ()
    needs_customer: bool = False
    is_handed_over: bool = False
    has_failed: bool = False
    is_unanswered: bool = False
    """Whether what was said last is that it is not known."""

    async def failed(self, outcome: ToolOutcome, offer: Offer) -> None:
        """Say honestly what did not work, and what else can be done."""
        await self.draft.say(outcome.summary)
        self.has_failed = True
        self.made_offer = offer

    def reply(self) -> BrainReply:
        return BrainReply(
            text=self.draft.text,
            state=msgspec.structs.replace(
                self.turn.state,
                flow=self.flow,
                waiting=self.waiting,
                offer=self.made_offer,
                topic=self.topic,
                notes=self.notes,
            ),
            citations=self.draft.citations,
            quick_replies=self.quick_replies,
            status=TurnStatus.NEEDS_CUSTOMER if self.needs_customer else TurnStatus.ANSWERED,
            brain="embedded",
        )
