"""
What one turn of the embedded brain works on: what was said, what is being said, and what to remember of it.

Its parts (`lookup`, `ticketing`, `embedded`) share it; none of them knows the others' fields.
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
    RETRY_TICKET = "ticket_retry"
    TICKETS = "find_tickets"
    USUAL_CHANNEL = "notify"


@dataclass(slots=True, kw_only=True)
class Session:
    """
    `offer` is what the last reply offered, gone once it is taken or passed over; `made_offer` what this one
    offers.

    Notes: `question` is the last one with what it leaned on, `unanswered` the last one that nothing was found
    for, `choices` the titles of the last question back, `shows_orders` whether the orders are what was spoken of.
    """

    turn: TurnInput
    tools: ToolCaller
    draft: Draft
    phrases: Phrases
    contact: str | None
    flow: OpenFlow | None
    offer: str | None
    topic: tuple[str, ...]
    notes: dict[str, Any]
    made_offer: Offer | None = None
    quick_replies: tuple[str, ...] = ()
    needs_customer: bool = False
    is_handed_over: bool = False
    has_failed: bool = False

    async def failed(self, outcome: ToolOutcome, offer: Offer) -> None:
        """Say honestly what did not work, and what else can be done."""
        await self.draft.say(outcome.summary)
        self.has_failed = True
        self.made_offer = offer

    def reply(self) -> BrainReply:
        return BrainReply(
            text=self.draft.text,
            state=msgspec.structs.replace(
                self.turn.state, flow=self.flow, offer=self.made_offer, topic=self.topic, notes=self.notes
            ),
            citations=self.draft.citations,
            quick_replies=self.quick_replies,
            status=TurnStatus.NEEDS_CUSTOMER if self.needs_customer else TurnStatus.ANSWERED,
            brain="embedded",
        )
