"""
What a message is to the question that is open: its answer, its end, or something beside it that is served before the question is
asked again.
"""

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence

from agent.brain.dialogue import Dialogue
from agent.brain.flows.declared import Flow, Slot, SlotKind
from agent.brain.flows.heard import Heard, Word, hear
from agent.brain.flows.library import FlowLibrary, Request, sentences_of
from agent.brain.intents import ANSWERED_FROM_ARTICLES, SMALL_TALK, Intent, Wish, asks
from agent.brain.lookup import Lookup

_DIGRESSION_WORDS = 25
"""What is longer, is part of a description, even where it holds a question."""

_DEMANDED_WORDS = 8
_DEMANDS = re.compile(
    r"^\W*(?:please\s+|bitte\s+|por\s+favor,?\s+)?(?:show|list|display|zeig(?:e|en)?|muéstr(?:a|e)me|muestr[ae]|enséñ(?:a|e)me|montrez?|affichez?)\b",
    re.IGNORECASE,
)
"""Nobody begins a description like that."""

_WORDS: Mapping[Intent, Word] = {Intent.YES: "yes", Intent.NO: "no", Intent.CANCEL: "cancel"}


class OpenQuestion:
    """`serve` is how a wish is served that has nothing to do with it."""

    def __init__(
        self,
        flows: FlowLibrary,
        dialogue: Dialogue,
        lookup: Lookup,
        *,
        serve: Callable[[Wish], Awaitable[None]],
    ) -> None:
        self._flows = flows
        self._dialogue = dialogue
        self._lookup = lookup
        self._serve = serve

    async def take(self, text: str, wishes: Sequence[Wish], requests: Sequence[Request]) -> None:
        """`wishes` and `requests` are what was read out of the text, wherever it belongs."""
        dialogue = self._dialogue
        others = self._others(wishes, requests)
        answer = self._without(others, text, wishes)
        if others and answer and self._is_text():
            # "The glass is broken. I also want to …": one is the answer, and the other waits.
            await dialogue.take(hear(answer))
            await self._begin(others)
            return
        only = wishes[0] if len(wishes) == 1 and not requests else None
        intent = only.intent if only is not None else Intent.STATEMENT
        heard = hear(text, _WORDS.get(intent))
        is_short = len(text.split()) <= _DIGRESSION_WORDS
        if dialogue.understands(heard):
            await dialogue.take(heard)
            await self._begin(others)
            if not await self._looked_up_beside(Wish(intent, text)):
                await self._answer_beside(text, heard)
        elif not self._is_text() and len(wishes) > 1 and await self._is_taken_apart(wishes):
            dialogue.digressed()
        elif intent is Intent.HANDOFF and is_short:
            await self._serve(Wish(Intent.HANDOFF, text))
        elif self._is_chat(wishes) or (requests and not wishes and not others and not self._is_text()):
            for wish in wishes:
                if wish.intent in SMALL_TALK:
                    await self._serve(wish)
            dialogue.digressed()
        elif others and not self._is_text():
            await self._begin(others)
            dialogue.digressed()
        elif is_short and await self._is_served_aside(Wish(intent, text)):
            dialogue.digressed()
        else:
            await dialogue.take(heard)
            if is_short:
                await self._answer_beside(text, heard, only_if_sure=True)

    async def _is_taken_apart(self, wishes: Sequence[Wish]) -> bool:
        """ "Yes. And where is my other order?": each part for itself. A yes beside doubts or questions is none yet."""
        heard = [(wish, hear(wish.text, _WORDS.get(wish.intent))) for wish in wishes]
        answers = [words for _, words in heard if self._dialogue.understands(words)]
        rest = [wish for wish, words in heard if words not in answers]
        if any(wish.intent in ANSWERED_FROM_ARTICLES for wish in rest):
            answers = [words for words in answers if words.word != "yes"]
        served = [wish for wish in rest if wish.intent not in (Intent.STATEMENT, Intent.YES)]
        for words in answers:
            if self._dialogue.is_asking:
                await self._dialogue.take(words)
        for wish in served:
            await self._serve(wish)
        return bool(answers or served)

    def _others(self, wishes: Sequence[Wish], requests: Sequence[Request]) -> list[Request]:
        """Flows that ask questions of their own, beside the one that is open."""
        by_intent = ((self._flows.for_intent(wish.intent), wish.text) for wish in wishes)
        wanted = [*requests, *(Request(flow, words) for flow, words in by_intent if flow is not None)]
        open_flow = self._dialogue.flow
        return [
            each
            for each in wanted
            if each.flow.may_ask and (open_flow is None or each.flow.name != open_flow.name)
        ]

    def _without(self, others: Sequence[Request], text: str, wishes: Sequence[Wish]) -> str:
        words = {request.words for request in others}
        return " ".join(wish.text for wish in wishes if wish.text not in words) if others else text

    def _is_text(self) -> bool:
        asked = self._dialogue.asked
        return asked is not None and asked.kind is SlotKind.TEXT

    def _is_chat(self, wishes: Sequence[Wish]) -> bool:
        """Courtesy, or asking for the same once more: nothing that could be an answer."""
        flow = self._dialogue.flow
        own = flow.triggers.intents if flow is not None else ()
        return bool(wishes) and all(
            wish.intent in SMALL_TALK or wish.intent is Intent.YES or wish.intent in own for wish in wishes
        )

    async def _begin(self, others: Sequence[Request]) -> None:
        for each in others:
            await self._dialogue.start(each.flow, each.words, message=each.words)

    async def _is_served_aside(self, wish: Wish) -> bool:
        """In place of a subject, a question may be the subject: only what is certainly none of it is served."""
        flow = self._flows.for_intent(wish.intent)
        if flow is not None and (not self._is_text() or (_looks_up(flow) and _asks_to_see(wish.text))):
            await self._dialogue.start(flow, wish.text, message=wish.text)
            return True
        if wish.intent is not Intent.QUESTION:
            return False
        if _may_be_the_answer(self._dialogue.asked, wish.text):
            return await self._lookup.answer_if_sure(wish.text)
        await self._lookup.answer(wish)
        return True

    async def _looked_up_beside(self, wish: Wish) -> bool:
        """ "When will ORD-1001 arrive?" names the order, and wants to know."""
        flow = self._flows.for_intent(wish.intent)
        if flow is None or not _looks_up(flow) or not asks(wish.text):
            return False
        await self._dialogue.start(flow, wish.text, message=wish.text)
        self._dialogue.digressed()
        return True

    async def _answer_beside(self, text: str, heard: Heard, *, only_if_sure: bool = False) -> None:
        """ "It is ORD-1001. How long does that take?": the question is none of the flow's. In a free text, it may be."""
        sentences = sentences_of(text) if heard.word is None else []
        questions = [each for each in sentences if asks(each) and not self._dialogue.understands(hear(each))]
        if len(sentences) < 2 or not questions:
            return
        question = " ".join(questions)
        if not only_if_sure:
            await self._lookup.answer(Wish(Intent.QUESTION, question))
            self._dialogue.digressed()
        elif await self._lookup.answer_if_sure(question):
            self._dialogue.digressed()


def _looks_up(flow: Flow) -> bool:
    return not flow.may_ask and flow.call is not None and flow.call.show not in (None, "nothing")


def _asks_to_see(text: str) -> bool:
    return asks(text) or (len(text.split()) <= _DEMANDED_WORDS and _DEMANDS.match(text) is not None)


def _may_be_the_answer(slot: Slot | None, question: str) -> bool:
    return slot is not None and (
        slot.kind is SlotKind.TEXT or (slot.kind is SlotKind.EMAIL and "@" in question)
    )
