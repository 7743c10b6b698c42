"""
Keep the ticket dialogue that a model leads in the form of the built-in brain's, so that either can go on where the other stopped.

A model asks in its own words; what the customer answers fills the slot that was asked for.
"""

import re

import msgspec

from agent.brain.base import TurnInput
from agent.brain.intents import Intent, asks, read
from core.identity import CallerKind
from state.models import OpenFlow

_TICKET = "ticket"
_LONGEST = {"subject": 150, "description": 5000, "contact": 254}
_ABOUT = re.compile(
    r"\b(?:tickets?|case|complaint)\b\s*(?::|,|about|because|for|regarding|wegen|sobre|pour|à propos de)\s+(?!me\b)"
    r"(?P<about>\S.{2,})",
    re.IGNORECASE | re.DOTALL,
)
_NOT_AN_ANSWER = frozenset({Intent.YES, Intent.CANCEL, Intent.GREETING, Intent.THANKS, Intent.HANDOFF})


def flow_after(turn: TurnInput, *, asks_back: bool) -> OpenFlow | None:
    """The dialogue as it stands after a turn in which no ticket was opened."""
    flow = turn.state.flow
    if flow is None and not asks_back:
        return None
    text = turn.text.strip()
    intents = {wish.intent for wish in read(text)}
    if flow is None:
        if Intent.TICKET not in intents:
            return None
        about = _ABOUT.search(text)
        slots = {"subject": about["about"][: _LONGEST["subject"]]} if about is not None else {}
        return _asking(OpenFlow(name=_TICKET, slots=slots, started_at=turn.now), turn)
    if Intent.CANCEL in intents:
        return None
    if flow.name != _TICKET or flow.asked not in _LONGEST or asks(text) or intents & _NOT_AN_ANSWER:
        return flow
    slots = {**flow.slots, flow.asked: text[: _LONGEST[flow.asked]]}
    return _asking(msgspec.structs.replace(flow, slots=slots), turn)


def _asking(flow: OpenFlow, turn: TurnInput) -> OpenFlow:
    """With the first slot that is not known asked for."""
    wanted = ["subject", "description"]
    if turn.caller.kind is CallerKind.VISITOR:
        wanted.append("contact")
    missing = (slot for slot in wanted if not flow.slots.get(slot))
    return msgspec.structs.replace(flow, asked=next(missing, "description"))
