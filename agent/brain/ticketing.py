"""
The ticket dialogue at work: what a message does to it, when to ask, and when to open the ticket.

What a ticket needs is known to `agent.brain.flows`.
"""

from agent.brain import flows
from agent.brain.intents import SMALL_TALK, Intent, Wish
from agent.brain.session import Offer, Session
from core.identity import CallerKind
from core.messages import ActionStatus

_ASKED_AGAIN = frozenset({"invalid_address", "contact_missing"})


class Ticketing:
    def __init__(self, session: Session) -> None:
        self._session = session
        self._is_new = False
        self._has_digressed = False
        self._complaint = ""

    @property
    def is_asking(self) -> bool:
        return self._session.flow is not None and self._session.flow.asked is not None

    async def start(self, wish: Wish, *, about: str = "") -> None:
        """`about` is what the customer said beside asking for a ticket."""
        notes = self._session.notes
        subject = flows.subject_in(wish.text) or about
        if not subject and self._session.offer == Offer.TICKET:
            subject = notes.get("unanswered", "")
        elif not subject and flows.points_back(wish.text):
            subject = notes.get("unanswered") or notes.get("question", "")
        self._session.flow = flows.opened(about=subject, at=self._session.turn.now)
        self._session.made_offer = None
        self._is_new = True
        await self.advance()

    async def take(self, text: str) -> None:
        """The asked slot, from a message that is neither a digression nor an end."""
        flow = self._session.flow
        if flow is None:
            return
        filled = flows.filled(flow, text)
        if filled == flow and flow.asked == "contact":
            self._complaint = self._session.phrases.contact_invalid
        self._session.flow = filled
        await self.advance()

    async def has_nothing_to_add(self) -> None:
        if self._session.flow is not None:
            self._session.flow = flows.without_description(self._session.flow)
            await self.advance()

    def digressed(self) -> None:
        self._has_digressed = True

    def drop(self) -> None:
        self._session.flow = None

    async def advance(self) -> None:
        """Settle what is missing, or open the ticket."""
        flow = self._session.flow
        if flow is None:
            return
        needs_contact = self._session.turn.caller.kind is CallerKind.VISITOR
        slot = flows.next_slot(flow, needs_contact=needs_contact)
        if slot == "description" and flow.asked == "description" and flow.slots.get("description"):
            self._complaint = self._session.phrases.description_short
        self._session.flow = flow = flows.asking(flow, slot)
        if slot is None:
            await self._open()

    async def ask(self) -> None:
        """Say the open question, last in the reply."""
        flow, phrases = self._session.flow, self._session.phrases
        if flow is None or flow.asked is None:
            return
        before = self._complaint or (phrases.ticket_opening if self._is_new else "")
        if not before and self._has_digressed:
            before = phrases.back_to_ticket
        question = {
            "subject": phrases.ask_subject,
            "description": phrases.ask_description,
            "contact": phrases.ask_contact,
        }[flow.asked]
        # The tools' own sentences may ask already.
        await self._session.draft.say(before if before.endswith("?") else f"{before} {question}".strip())
        self._session.made_offer = None
        self._session.quick_replies = (phrases.say_cancel,)
        self._session.needs_customer = True

    async def _open(self) -> None:
        session = self._session
        flow = session.flow
        if flow is None:
            return
        outcome = await session.tools.call("open_ticket", flows.arguments(flow))
        reason = outcome.action.reason
        if outcome.is_ok or outcome.action.status is ActionStatus.UNKNOWN:
            session.notes.pop("unanswered", None)
            session.flow = None
            await session.draft.say(outcome.summary)
        elif reason in _ASKED_AGAIN:
            session.flow = flows.asking(flows.without_contact(flow), "contact")
            self._complaint = outcome.summary
        elif reason == "duplicate":
            session.flow = None
            await session.failed(outcome, Offer.TICKETS)
        else:
            # Kept as it is, so that "yes" tries again without a word typed twice.
            await session.failed(outcome, Offer.RETRY_TICKET)


def is_chat(wishes: tuple[Wish, ...]) -> bool:
    """Courtesy, or asking for the ticket once more: nothing that belongs into it."""
    return all(wish.intent in SMALL_TALK or wish.intent in (Intent.YES, Intent.TICKET) for wish in wishes)
