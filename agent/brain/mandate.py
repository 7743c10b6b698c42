"""
Decide whether what a model wants to do is what the customer asked for.

Looks at the customer's own words, never at the model's reasons: a text that was found can talk a model into a call, and cannot
make the customer have wished it. What is not asked for needs the customer's yes (`agent.turn.confirmation`).
"""

import re
from collections.abc import Iterator, Mapping, Set
from enum import StrEnum
from typing import Any

from agent.brain.base import TurnInput
from agent.brain.grounding import Grounds
from agent.brain.intents import Intent, read
from agent.brain.phrases import phrases_for
from agent.brain.session import TICKET, Offer
from agent.models.base import ToolSpec
from core.messages import MessageRole
from tools.knowledge.words import terms

_LOOKED_BACK = 6
"""Messages of the customer: what was asked for longer ago is asked about again."""
_RECEIPT = re.compile(r"\bR-[0-9A-Z]{10}\b")

_WISHES: Mapping[str, frozenset[Intent]] = {
    "open_ticket": frozenset({Intent.TICKET}),
    "notify": frozenset({Intent.NOTIFY}),
    "handoff": frozenset({Intent.HANDOFF}),
}
_TAKES_BACK = frozenset({Intent.CANCEL, Intent.NO})
_TAKEN_BY_YES: Mapping[str, frozenset[str]] = {
    "open_ticket": frozenset({Offer.TICKET, Offer.RETRY}),
    "notify": frozenset({Offer.USUAL_CHANNEL}),
    "handoff": frozenset({Offer.PERSON}),
}
_ANSWERED_IN_WORDS = frozenset({Offer.SIMILAR_TICKET, Offer.ANOTHER_TICKET})
"""Which ticket is meant is said in many ways; the tool's own question stands before it."""


def _both(verbs: str, things: str) -> re.Pattern[str]:
    return re.compile(rf"(?=.*\b(?:{verbs}))(?=.*\b(?:{things}))", re.IGNORECASE | re.DOTALL)


_ASKED_ELSEWHERE: Mapping[str, re.Pattern[str]] = {
    "open_ticket": _both(
        r"öffn|eröffn|erstell|anleg|leg\w* .* an\b|aufmach|mach\w*\b|möchte|brauche|abr[aei]|crea|quiero|"
        r"necesito|ouvr|cré[ez]|faire|voudrais|veux",
        r"tickets?\b|beschwerde|reklamation|queja|reclamaci[oó]n|incidencia|réclamation|plainte",
    ),
    "notify": _both(
        r"schick|send|maile?\b|env[ií]|mand[ae]|envoy",
        r"e-?mail|sms|nachricht|correo|mensaje|courriel|message",
    ),
    "handoff": _both(
        r"sprechen|reden|verbind|weiterleit|mensch|hablar|comunic|pás|pasa|parler|transf|mett\w*|quiero|"
        r"möchte|veux|voudrais|brauche",
        r"menschen?\b|mitarbeiter|kolleg|persona\b|humano|agente\b|personne|humain|conseill|berater",
    ),
}
"""For the tools of ours, in German, Spanish and French."""
_A_PERSON = re.compile(
    r"^\W*(?:\w+\W+){0,4}?(?:human|person|agent|operator|representative|mensch\w*|mitarbeiter\w*|persona|"
    r"humano|personne|humain|"
    r"conseiller)\W*(?:please|bitte|por favor|s['’]il (?:vous|te) pla[iî]t)?\W*$",
    re.IGNORECASE,
)
"""A few words that end in one: "a person, please"."""

_OFFERED: Mapping[str, re.Pattern[str]] = {
    "open_ticket": re.compile(r"tickets?\b", re.IGNORECASE),
    "notify": re.compile(r"\b(?:e-?mail|sms|message|send|schicken|enviar|envoyer)\b", re.IGNORECASE),
    "handoff": re.compile(
        r"\b(?:person|human|colleague|agent|team|mensch\w*|mitarbeiter\w*|persona|personne|conseiller)\b",
        re.IGNORECASE,
    ),
}
"""What a question that offers a tool speaks of."""
_YES = re.compile(
    r"^\W*(?:ja|jawohl|gern\w*|bitte|sí|si|claro|vale|por favor|oui|volontiers|d['’]accord)\b(?!.*\bnicht\b)",
    re.IGNORECASE,
)

_TOPICS: Mapping[str, frozenset[str]] = {
    "customer_info": frozenset(
        terms(
            "order orders parcel package delivery shipment tracking purchase bought buy paid invoice account profile email mail "
            "phone address customer file number "
            "bestellung paket lieferung konto rechnung adresse pedido paquete entrega cuenta factura dirección commande colis "
            "livraison compte facture adresse"
        )
    ),
    "find_tickets": frozenset(
        terms(
            "ticket tickets case cases complaint request status progress receipt beschwerde queja réclamation"
        )
    ),
}
"""What the customer speaks of where one of our reading tools is of use."""


class Leave(StrEnum):
    GIVEN = "given"
    ASKS_FIRST = "asks_first"
    """Only with a yes of the customer's."""
    REFUSED = "refused"


class Mandate:
    """Of one turn. `grounds` knows what was found, and whether it gives orders."""

    def __init__(self, turn: TurnInput, grounds: Grounds) -> None:
        self._turn = turn
        self._grounds = grounds

    def leave_for(self, tool: ToolSpec, arguments: Mapping[str, Any]) -> Leave:
        if any(self._grounds.only_orders_say(text) for text in _texts(arguments)):
            return Leave.REFUSED
        if not tool.has_effect:
            return Leave.GIVEN if self._may_read(tool) else Leave.REFUSED
        if self._is_wished(tool):
            return Leave.GIVEN
        return Leave.REFUSED if self._grounds.hold_orders else Leave.ASKS_FIRST

    def _may_read(self, tool: ToolSpec) -> bool:
        """Reading does no harm, so it takes an order in what was found before anybody asks what it is for."""
        if tool.name == "search_knowledge" or not self._grounds.hold_orders:
            return True
        return self._speaks_of(tool)

    def _speaks_of(self, tool: ToolSpec) -> bool:
        topics = _TOPICS.get(tool.name) or frozenset(
            terms(f"{tool.name.replace('_', ' ')} {tool.description}")
        )
        return not topics.isdisjoint(term for text in self._said() for term in terms(text))

    def _is_wished(self, spec: ToolSpec) -> bool:
        tool = spec.name
        if tool not in _WISHES:
            # Of an outside tool's wishes nothing is known but its name and its description; most wait for a yes anyway.
            return self._speaks_of(spec)
        state = self._turn.state
        is_open = state.flow is not None and state.flow.name == TICKET
        if tool == "open_ticket" and (is_open or state.offer in _ANSWERED_IN_WORDS):
            return True
        if self._says_yes() and (state.offer in _TAKEN_BY_YES.get(tool, ()) or self._was_offered(tool)):
            return True
        for text in self._said():
            intents = {wish.intent for wish in read(text)}
            if self._asks_for(tool, text, intents):
                return True
            if not intents.isdisjoint(_TAKES_BACK):
                return False
        return False

    def _asks_for(self, tool: str, text: str, intents: Set[Intent]) -> bool:
        phrases = phrases_for(self._turn.locale)
        offered = {"open_ticket": phrases.say_ticket, "handoff": phrases.say_person}.get(tool)
        return (
            text.strip() == offered
            or not intents.isdisjoint(_WISHES[tool])
            or _ASKED_ELSEWHERE[tool].search(text) is not None
            or (tool == "handoff" and _A_PERSON.match(text) is not None)
        )

    def _says_yes(self) -> bool:
        text = self._turn.text
        return _YES.match(text) is not None or any(wish.intent is Intent.YES for wish in read(text))

    def _was_offered(self, tool: str) -> bool:
        """Whether the last thing that the customer read was a question about it."""
        last = self._turn.history[-1] if self._turn.history else None
        return (
            last is not None
            and last.role is not MessageRole.CUSTOMER
            and last.text.rstrip().endswith(("?", "？"))
            and _OFFERED[tool].search(last.text.rstrip().rsplit("\n", 1)[-1]) is not None
        )

    def _said(self) -> Iterator[str]:
        """What the customer said since something was last done for them, the latest first."""
        yield from (message.text for message in reversed(self._turn.fresh))
        left = _LOOKED_BACK
        for message in reversed(self._turn.history):
            if message.role is MessageRole.CUSTOMER:
                left -= 1
                yield message.text
            elif _RECEIPT.search(message.text):
                return
            if not left:
                return


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _texts(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _texts(inner)
