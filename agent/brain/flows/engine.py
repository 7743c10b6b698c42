"""
Carry a flow on: a declaration, what is known and what was heard give what is known next, what to ask for, and the call.

Pure: time and place are arguments, nothing is said or called here. A flow never waits for what it knows, ends when it is
cancelled, and gives up after three answers in a row that do not fit.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

import msgspec

from agent.brain.flows.declared import CONFIRM, Argument, Flow, Slot, SlotKind
from agent.brain.flows.heard import Heard
from agent.brain.flows.slots import LONGEST_TEXT, Found, Reader, is_value, shortened
from agent.brain.flows.texts import first_filled, spoken
from state.models import OpenFlow

_MOST_MISSES = 3
_SUREST_FIRST = (
    SlotKind.EMAIL,
    SlotKind.REFERENCE,
    SlotKind.DATE,
    SlotKind.PHONE,
    SlotKind.CHOICE,
    SlotKind.NUMBER,
)
"""What these find is taken out of the words before the next looks: a day is no number, too."""


class Ending(StrEnum):
    CANCELLED = "cancelled"
    GIVEN_UP = "given_up"


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """When, and with whom."""

    now: datetime
    locale: str
    is_visitor: bool

    @property
    def reader(self) -> Reader:
        return Reader(today=self.now.date(), locale=self.locale)


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolWish:
    """The call that a flow has come to."""

    tool: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """
    `state` is None where the flow is over: without a call it has ended as `ending` says. `misfit` names the slot for which the
    words were no value, CONFIRM where they neither agreed nor refused; `corrected` the slot that has another value now.
    """

    state: OpenFlow | None
    call: ToolWish | None = None
    ending: Ending | None = None
    misfit: str | None = None
    corrected: str | None = None


def begin(flow: Flow, context: Mapping[str, str], moment: Moment, *, words: str = "", more: str = "") -> Step:
    """Filled from `words`, then from what was said beside them (`more`), then from the conversation."""
    kept = {name: context[name] for name in sorted(flow.told) if context.get(name)}
    state = OpenFlow(name=flow.name, slots=kept, started_at=moment.now)
    for text in dict.fromkeys((words, more)):
        state = _filled_in_passing(flow, state, text, moment)
    for slot in flow.slots:
        source = next((context[name] for name in slot.sources if context.get(name)), None)
        if source is not None and slot.name not in state.slots:
            state = _with_text(slot, state, source) or state
    return advance(flow, state, moment)


def advance(flow: Flow, state: OpenFlow, moment: Moment, *, is_confirmed: bool = False) -> Step:
    """Ask for the first thing that is missing, then for the yes, then call."""
    state = _only_what_applies(flow, state)
    slot = next((slot for slot in flow.slots if _is_missing(flow, slot, state, moment)), None)
    if slot is not None:
        return Step(state=_asking(state, slot.name, moment))
    if flow.confirm is not None and not is_confirmed:
        return Step(state=_asking(state, CONFIRM, moment))
    call = None if flow.call is None else ToolWish(tool=flow.call.tool, arguments=arguments(flow, state))
    return Step(state=_asking(state, None, moment), call=call)


def take(flow: Flow, state: OpenFlow, heard: Heard, moment: Moment) -> Step:
    """What the message does to the open question."""
    slot = flow.slot(state.asked)
    if heard.word == "cancel" or (_refuses(heard, slot) and (slot is None or slot.declined is None)):
        return Step(state=None, ending=Ending.CANCELLED)
    if heard.word == "yes" and state.asked == CONFIRM:
        return advance(flow, state, moment, is_confirmed=True)
    corrected = _corrected(flow, state, heard, moment)
    if corrected is not None:
        newest = next(reversed(corrected.slots))
        return replace(advance(flow, corrected, moment), corrected=newest)
    filled = _answered(flow, slot, state, heard, moment) if slot is not None else None
    if filled is None:
        return _missed(state, moment)
    step = advance(flow, filled, moment)
    is_asked_again = slot is not None and step.state is not None and step.state.asked == slot.name
    return _missed(filled, moment) if is_asked_again else step


def understands(flow: Flow, state: OpenFlow, heard: Heard, moment: Moment) -> bool:
    """Whether the message certainly belongs to the open question; a free text may be anything."""
    slot = flow.slot(state.asked)
    if heard.word in ("cancel", "no"):
        return True
    if heard.word == "yes":
        return state.asked == CONFIRM or (slot is not None and slot.kind is SlotKind.YES_NO)
    if _corrected(flow, state, heard, moment) is not None:
        return True
    if slot is None or slot.kind is SlotKind.TEXT:
        return False
    return _answered(flow, slot, state, heard, moment) is not None


def refused(flow: Flow, state: OpenFlow, field: str, moment: Moment) -> Step | None:
    """The tool does not take an argument: ask again for the slot that it came from; None where it came from none."""
    argument = next((each for each in flow.call.arguments if each.name == field), None) if flow.call else None
    names = {wording.only for wording in argument.wordings} if argument is not None else set()
    slot = next((slot for slot in flow.slots if slot.name in names and slot.of != "nobody"), None)
    if slot is None:
        return None
    slots = {name: value for name, value in state.slots.items() if name != slot.name}
    return _missed(_asking(msgspec.structs.replace(state, slots=slots), slot.name, moment), moment)


def has_expired(flow: Flow, state: OpenFlow, now: datetime) -> bool:
    """Whether nobody went on with it for so long that an answer may mean something else."""
    last = state.touched_at or state.started_at
    return last is not None and now - last > timedelta(minutes=flow.minutes)


def is_of(flow: Flow, state: OpenFlow) -> bool:
    """Whether a stored state can be of this declaration, which may have changed since."""
    is_asked = state.asked in (None, CONFIRM) or flow.slot(state.asked) is not None
    return is_asked and all(
        is_value(slot, state.slots[slot.name]) for slot in flow.slots if state.slots.get(slot.name)
    )


def arguments(flow: Flow, state: OpenFlow) -> dict[str, Any]:
    """For the flow's tool; what is not known is left out."""
    if flow.call is None:
        return {}
    values = known(flow, state)
    given = {each.name: _argument(each, flow, values) for each in flow.call.arguments}
    return {name: value for name, value in given.items() if value is not None}


def known(flow: Flow, state: OpenFlow) -> dict[str, str]:
    """By name, what fills a gap: what is declined or too short to stand alone is not as it was written."""
    values = {name: value for name, value in state.slots.items() if value}
    for slot in flow.slots:
        if slot.name in values and slot.padded is not None and len(values[slot.name]) < (slot.least or 0):
            values[slot.name] = slot.padded.fill(values) or values[slot.name]
    return values


def _argument(argument: Argument, flow: Flow, values: Mapping[str, str]) -> str | float | bool | None:
    if argument.value is not None:
        return argument.value
    wording = next((each for each in argument.wordings if each.fill(values) is not None), None)
    if wording is None:
        return None
    text = wording.fill(values if wording.only else labelled(flow, values)) or ""
    slot = flow.slot(wording.only)
    if slot is not None and not argument.is_text:
        if slot.kind is SlotKind.YES_NO:
            return text == "yes"
        if slot.kind is SlotKind.NUMBER:
            return int(text) if text.lstrip("-").isdigit() else float(text)
    return text if argument.most is None else text[: argument.most]


def labelled(flow: Flow, values: Mapping[str, str], *, locale: str | None = None) -> dict[str, str]:
    """The choices among the values in words, of the flow's first language where no locale is given."""
    words = dict(values)
    for slot in flow.slots:
        for choice in slot.choices:
            if values.get(slot.name) == choice.value:
                language = next(iter(choice.words)) if locale is None else spoken(locale, choice.words)
                words[slot.name] = choice.words[language][0]
    return words


def _is_missing(flow: Flow, slot: Slot, state: OpenFlow, moment: Moment) -> bool:
    if slot.of == "nobody" or (slot.of == "visitors" and not moment.is_visitor):
        return False
    if not _applies(slot, state):
        return False
    if slot.name not in state.slots:
        return True
    if slot.kind is not SlotKind.TEXT or (slot.declined is not None and not state.slots[slot.name]):
        return False
    return len(known(flow, state).get(slot.name, "")) < (slot.least or 1)


def _applies(slot: Slot, state: OpenFlow) -> bool:
    return all(state.slots.get(name) in values for name, values in slot.condition.items())


def _only_what_applies(flow: Flow, state: OpenFlow) -> OpenFlow:
    """A correction can make another answer pointless."""
    pointless = {slot.name for slot in flow.slots if slot.name in state.slots and not _applies(slot, state)}
    if not pointless:
        return state
    return msgspec.structs.replace(
        state, slots={name: value for name, value in state.slots.items() if name not in pointless}
    )


def _asking(state: OpenFlow, asked: str | None, moment: Moment) -> OpenFlow:
    misses = state.misses if asked == state.asked else 0
    return msgspec.structs.replace(state, asked=asked, touched_at=moment.now, misses=misses)


def _missed(state: OpenFlow, moment: Moment) -> Step:
    misses = state.misses + 1
    if misses >= _MOST_MISSES:
        return Step(state=None, ending=Ending.GIVEN_UP)
    again = msgspec.structs.replace(state, misses=misses, touched_at=moment.now)
    return Step(state=again, misfit=state.asked)


def _answered(flow: Flow, slot: Slot, state: OpenFlow, heard: Heard, moment: Moment) -> OpenFlow | None:
    """With the asked slot filled, and whatever else the words hold."""
    if _refuses(heard, slot):
        return _declined(slot, state)
    if slot.kind is SlotKind.TEXT:
        return _with_text(slot, state, heard.text)
    if slot.kind is SlotKind.YES_NO:
        return _with(state, slot.name, heard.word) if heard.word in ("yes", "no") else None
    found = moment.reader.find(slot, heard.text, is_asked=True)
    if found is None:
        return None
    state = _with(state, slot.name, found.value)
    return _filled_in_passing(flow, state, _without(heard.text, found), moment)


def _filled_in_passing(flow: Flow, state: OpenFlow, text: str, moment: Moment) -> OpenFlow:
    """What else can be read out of the words. Several slots of one kind would fight over them: only what is clear is taken."""
    for kind in _SUREST_FIRST:
        open_slots = [
            slot
            for slot in flow.slots
            if slot.kind is kind and not slot.only_when_asked and slot.name not in state.slots
        ]
        is_clear = kind in (SlotKind.CHOICE, SlotKind.REFERENCE) or len(open_slots) == 1
        for slot in open_slots if is_clear else ():
            found = moment.reader.find(slot, text, is_asked=False)
            if found is not None:
                state = _with(state, slot.name, found.value)
                text = _without(text, found)
    return state


def _corrected(flow: Flow, state: OpenFlow, heard: Heard, moment: Moment) -> OpenFlow | None:
    """
    With another value for something that is known: "no, I meant …". While the yes is open, any other value is a correction,
    except in a question. A text is corrected only by saying so, and then the newest.
    """
    may_be_one = state.asked == CONFIRM and heard.word is None and not heard.asks
    words = heard.meant or heard.instead or (heard.text if may_be_one else None)
    if words is None:
        return None
    newest_first = [slot for name in reversed(state.slots) if (slot := flow.slot(name)) is not None]
    for slot in newest_first:
        found = moment.reader.find(slot, words, is_asked=False, other_than=state.slots[slot.name])
        if found is not None:
            return _with(state, slot.name, found.value)
    asked = flow.slot(state.asked)
    if heard.meant is None or (
        asked is not None and asked.kind is not SlotKind.TEXT and _answered(flow, asked, state, heard, moment)
    ):
        return None
    newest_text = next((slot for slot in newest_first if slot.kind is SlotKind.TEXT), None)
    if newest_text is None:
        return None
    return _with_text(replace(newest_text, collects=False), state, heard.meant)


def _refuses(heard: Heard, slot: Slot | None) -> bool:
    """A no that is not the answer to a yes-or-no question."""
    return heard.word == "no" and (slot is None or slot.kind is not SlotKind.YES_NO)


def _declined(slot: Slot, state: OpenFlow) -> OpenFlow:
    """Nothing is known of it, which is known; or what the declaration puts there."""
    return _with(state, slot.name, first_filled(slot.declined or (), state.slots) or "")


def _with_text(slot: Slot, state: OpenFlow, text: str) -> OpenFlow | None:
    """None where it holds no word. What is longer than its slot fills the slot that takes the overflow."""
    text = text.strip()
    if not re.search(r"\w", text):
        return None
    most = int(slot.most or LONGEST_TEXT)
    if slot.overflow is not None:
        first = shortened(text, most)
        state = _with(state, slot.name, first)
        return state if first == text else _with(state, slot.overflow, text[:LONGEST_TEXT])
    before = state.slots.get(slot.name) if slot.collects else None
    return _with(state, slot.name, (f"{before}\n{text}" if before else text)[:most])


def _with(state: OpenFlow, name: str, value: str) -> OpenFlow:
    """The newest last: a correction without a name is for it."""
    others = {each: known_value for each, known_value in state.slots.items() if each != name}
    return msgspec.structs.replace(state, slots={**others, name: value})


def _without(text: str, found: Found) -> str:
    return text[: found.start] + " " * (found.end - found.start) + text[found.end :]
