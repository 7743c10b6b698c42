"""
The answer to "you have a ticket about this: add to it, or open another?", whichever flow came to that question.
"""

import re

from agent.brain.dialogue import Dialogue
from agent.brain.intents import Intent, Wish
from agent.brain.session import Offer, Session

_ANOTHER = re.compile(r"\b(?:another|new|second|separate|different|own|open\s+(?:it|one|a))\b", re.IGNORECASE)
_ADD = re.compile(
    r"\b(?:add|append|attach|put|include|update|same|existing|that\s+one|to\s+it)\b", re.IGNORECASE
)
_LONGEST_CHOICE_WORDS = 12


class SimilarTicket:
    def __init__(self, session: Session, dialogue: Dialogue) -> None:
        self._session = session
        self._dialogue = dialogue

    async def choose(self, text: str, only: Wish | None) -> bool:
        """Take a message as the answer; False where it is about something else."""
        session = self._session
        existing = session.notes.get("similar")
        if session.flow is None or not isinstance(existing, str):
            return False
        if only is not None and only.intent in (Intent.NO, Intent.CANCEL):
            await session.draft.say(session.phrases.ticket_cancelled)
            self._forget()
            return True
        says_yes = only is not None and only.intent is Intent.YES
        wants_another, wants_to_add = _ANOTHER.search(text) is not None, _ADD.search(text) is not None
        if session.offer == Offer.ANOTHER_TICKET:
            wants_another, wants_to_add = wants_another or says_yes, False
        is_short = len(text.split()) <= _LONGEST_CHOICE_WORDS
        if is_short and wants_another is not wants_to_add:
            await self._dialogue.call_with({"is_another": True} if wants_another else {"add_to": existing})
            return True
        if is_short and (wants_another or says_yes):
            await session.draft.say(session.phrases.add_or_another.format(reference=existing))
            session.made_offer = Offer.SIMILAR_TICKET
            session.needs_customer = True
            return True
        self._forget()
        return False

    def _forget(self) -> None:
        self._dialogue.drop()
        self._session.notes.pop("similar", None)
