"""
What a flow says, in the customer's language: its own texts, else the standard ones, with what is known in their gaps.
"""

from collections.abc import Mapping

from agent.brain.flows import engine
from agent.brain.flows.declared import CONFIRM, Flow, Slot, SlotKind
from agent.brain.flows.engine import Step
from agent.brain.flows.library import FlowLibrary
from agent.brain.flows.texts import Text, spoken
from agent.brain.wording import day_in_words
from state.models import OpenFlow


class FlowWords:
    def __init__(self, library: FlowLibrary, locale: str) -> None:
        self._library = library
        self._locale = locale
        self._phrases = library.phrases(locale)

    def say(self, text: Text | None, flow: Flow, state: OpenFlow | None, **more: str) -> str:
        if text is None:
            return ""
        values = self._in_words(flow, engine.known(flow, state)) if state is not None else {}
        return text.say(self._locale, self._phrases, values | more)

    def standard(self, name: str, flow: Flow) -> str:
        return self._library.text(name, self._locale, title=self.say(flow.title, flow, None))

    def _in_words(self, flow: Flow, values: Mapping[str, str]) -> dict[str, str]:
        locale = self._locale
        words = engine.labelled(flow, values, locale=locale)
        for slot in flow.slots:
            if slot.name in words and slot.kind is SlotKind.DATE:
                words[slot.name] = day_in_words(words[slot.name], self._phrases)
            elif slot.name in words and slot.kind is SlotKind.YES_NO:
                words[slot.name] = self._library.text(f"say_{words[slot.name]}", locale).lower()
        return words

    def quick_replies(self, slot: Slot | None) -> tuple[str, ...]:
        locale, cancel = self._locale, self._phrases.say_cancel
        if slot is not None and slot.kind is SlotKind.CHOICE:
            return (*_labels(slot, locale), cancel)
        if slot is None or slot.kind is SlotKind.YES_NO:
            yes_and_no = (self._library.text("say_yes", locale), self._library.text("say_no", locale))
            return (*yes_and_no, cancel) if slot is not None else yes_and_no
        return (cancel,)

    def complaint_of(self, flow: Flow, step: Step) -> str:
        slot = flow.slot(step.misfit)
        if slot is None or step.state is None:
            return self._library.text("invalid_yes_no", self._locale) if step.misfit == CONFIRM else ""
        if slot.kind is SlotKind.TEXT and slot.name not in step.state.slots:
            return ""  # no words at all: the question says it
        if slot.invalid is not None:
            return self.say(slot.invalid, flow, step.state)
        if slot.kind is SlotKind.TEXT:
            return ""
        choices = ", ".join(_labels(slot, self._locale))
        return self._library.text(f"invalid_{slot.kind}", self._locale, choices=choices)

    def corrected(self, flow: Flow, step: Step) -> str:
        """What a correction was understood as; the question for the yes says it anyway."""
        if step.corrected is None or step.state is None or step.state.asked in (None, CONFIRM):
            return ""
        value = self._in_words(flow, engine.known(flow, step.state))[step.corrected]
        return self._library.text("corrected", self._locale, value=value)


def _labels(slot: Slot, locale: str) -> tuple[str, ...]:
    return tuple(choice.words[spoken(locale, choice.words)][0] for choice in slot.choices)
