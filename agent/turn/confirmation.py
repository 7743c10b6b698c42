"""
The customer's yes, where no model can talk past it: what waits for a yes is kept with the conversation, and runs as it was asked.

A yes counts in the next message, written after the question could be read. The handler refuses every call that it does not
belong to (`tools.handler`); a model neither gives a yes nor words the question.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta

import msgspec

from agent.brain.base import Brain, BrainReply, Emitter, TurnInput
from agent.brain.flows.declared import CONFIRM
from agent.turn.effects import TurnTools
from core.languages import in_language
from core.messages import MessageRole, TurnStatus
from state.models import PendingAction
from tools.protocol import fingerprint

LIFE = timedelta(hours=1)
"""After that a yes may mean something else."""

ANSWERS: Mapping[str, tuple[str, ...]] = {
    "en": ("Yes", "No"),
    "de": ("Ja", "Nein"),
    "es": ("Sí", "No"),
    "fr": ("Oui", "Non"),
    "ar": ("نعم", "لا"),
}
LEFT: Mapping[str, str] = {
    "en": "All right, I have left it as it is.",
    "de": "In Ordnung, ich habe nichts geändert.",
    "es": "De acuerdo, no he cambiado nada.",
    "fr": "D'accord, je n'ai rien changé.",
    "ar": "حسنًا، لم أغيّر شيئًا.",
}
_WORD = re.compile(r"\w+")
_COURTESY = re.compile(
    r"\b(?:please|thanks|thank you|bitte|danke|por favor|gracias|merci|s il (?:vous|te) plaît|من فضلك|شكرا)\b"
)
_YES = frozenset(
    [
        "yes",
        "yep",
        "yeah",
        "yup",
        "sure",
        "ok",
        "okay",
        "yes ok",
        "yes sure",
        "yes do it",
        "do it",
        "yes do that",
        "do that",
        "yes go ahead",
        "go ahead",
        "i confirm",
        "confirm",
        "confirmed",
        "yes i confirm",
        "ja",
        "jawohl",
        "ja gerne",
        "ja mach das",
        "ja machen sie das",
        "einverstanden",
        "sí",
        "si",
        "sí claro",
        "claro",
        "de acuerdo",
        "sí adelante",
        "adelante",
        "confirmo",
        "oui",
        "oui bien sûr",
        "d accord",
        "oui d accord",
        "allez y",
        "vas y",
        "je confirme",
        "نعم",
        "أجل",
        "موافق",
    ]
)
_NO = frozenset(
    [
        "no",
        "nope",
        "nah",
        "do not",
        "don t",
        "don t do it",
        "do not do it",
        "cancel",
        "stop",
        "never mind",
        "nein",
        "lieber nicht",
        "abbrechen",
        "non",
        "annuler",
        "annule",
        "mejor no",
        "cancelar",
        "cancela",
        "لا",
        "إلغاء",
    ]
)


def confirmed_in(turn: TurnInput) -> str | None:
    """The fingerprint of the call to which this turn's messages say yes."""
    waiting = _open_question(turn)
    if waiting is None or not all(_says(message.text, _YES) for message in turn.fresh):
        return None
    return fingerprint(waiting.tool, waiting.arguments)


async def respond(brain: Brain, turn: TurnInput, tools: TurnTools, out: Emitter) -> BrainReply:
    """The brain's reply, with the question under it where there is one; to a yes or a no, the answer without any brain."""
    waiting = _open_question(turn)
    if waiting is not None and tools.confirmed == fingerprint(waiting.tool, waiting.arguments):
        outcome = await tools.call(waiting.tool, waiting.arguments)
        return await _said(outcome.summary, brain, turn, out)
    if waiting is not None and all(_says(message.text, _NO) for message in turn.fresh):
        return await _said(in_language(LEFT, turn.locale), brain, turn, out)
    reply = await brain.respond(turn, tools, out)
    asked = tools.asked
    if asked is None:
        return reply
    text = reply.text
    # In the service's own words, whatever a model has made of it: it lists what the yes is for.
    for sentence in (tools.put_off, asked.question):
        if sentence is not None and sentence not in text:
            piece = f"\n\n{sentence}" if text else sentence
            await out.text(piece)
            text += piece
    return replace(
        reply,
        text=text,
        status=TurnStatus.NEEDS_CUSTOMER,
        quick_replies=in_language(ANSWERS, turn.locale),
    )


def pending_after(turn: TurnInput, tools: TurnTools, reply: str) -> PendingAction | None:
    """What waits for a yes after this turn: only what the customer can read in the reply."""
    asked = tools.asked
    if asked is None or asked.question not in reply:
        return None
    return PendingAction(
        tool=asked.tool,
        arguments=asked.arguments,
        question=asked.question,
        turn_id=turn.turn_id,
        asked_at=turn.now,
    )


def _open_question(turn: TurnInput) -> PendingAction | None:
    """The question that all of this turn's messages came after; None where one was written before it could be read."""
    waiting = turn.state.pending
    if waiting is None or turn.now - waiting.asked_at > LIFE:
        return None
    for message in turn.history:
        if message.turn_id == waiting.turn_id and message.role is MessageRole.AGENT:
            is_readable = waiting.question in message.text
            came_after = all(each.seq > message.seq for each in turn.fresh)
            return waiting if is_readable and came_after else None
    return None


def _says(text: str, answers: frozenset[str]) -> bool:
    """Nothing but that: a yes with a condition is no yes to what was asked."""
    words = " ".join(_WORD.findall(text.casefold()))
    return " ".join(_COURTESY.sub(" ", words).split()) in answers


async def _said(text: str, brain: Brain, turn: TurnInput, out: Emitter) -> BrainReply:
    """A dialogue that waited for this answer has it."""
    await out.text(text)
    flow = turn.state.flow
    is_over = flow is not None and flow.asked == CONFIRM
    state = msgspec.structs.replace(turn.state, flow=None) if is_over else turn.state
    return BrainReply(text=text, state=state, brain=brain.name)
