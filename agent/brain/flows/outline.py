"""
A flow as somebody reads it who did not write it: what begins it, what it asks, what it does.
"""

from collections.abc import Iterator

from agent.brain.flows.declared import Argument, Call, Flow, Slot
from agent.brain.flows.texts import Text, spoken
from agent.brain.phrases import phrases_for

_LABEL_WIDTH = 12


def outline(flow: Flow, *, locale: str) -> str:
    """A few lines, its texts in the language that a customer of this locale would read."""
    lines = [f"{flow.name}: {_wording(flow.title, locale)}"]
    lines += _labelled("begins with", _triggers(flow))
    lines += _labelled("needs", [f"{flow.needs}, else says why not"] if flow.needs else [])
    lines += _labelled("asks", [line for slot in flow.slots for line in _slot(slot, locale)])
    lines += _labelled(
        "confirms", [f"“{_wording(flow.confirm, locale)}”"] if flow.confirm is not None else []
    )
    lines += _labelled("calls", list(_call(flow.call)) if flow.call is not None else [])
    lines += _labelled("says", [f"“{_wording(flow.done, locale)}”"] if flow.done is not None else [])
    lines += _labelled("is forgotten", [f"after {flow.minutes:g} minutes"] if flow.may_ask else [])
    lines += _labelled("speaks", [", ".join(flow.title.by_language)] if flow.title.by_language else [])
    return "\n".join(lines)


def _labelled(label: str, lines: list[str]) -> Iterator[str]:
    for n, line in enumerate(lines):
        yield f"  {label if n == 0 else '':{_LABEL_WIDTH}}  {line}"


def _triggers(flow: Flow) -> list[str]:
    triggers = flow.triggers
    intents = [f"intent {intent}" for intent in triggers.intents]
    return [
        *intents,
        *(f"“{phrase}”" for phrase in triggers.written),
        *(f"pattern {each.pattern}" for each in triggers.patterns),
    ]


def _slot(slot: Slot, locale: str) -> Iterator[str]:
    notes = [str(slot.kind)]
    if slot.choices:
        notes[0] += (
            f" of {', '.join(choice.words[spoken(locale, choice.words)][0] for choice in slot.choices)}"
        )
    if slot.pattern is not None:
        notes[0] += f" like {slot.pattern.pattern}"
    if slot.condition:
        conditions = (f"{name} is {' or '.join(sorted(values))}" for name, values in slot.condition.items())
        notes.append(f"if {' and '.join(conditions)}")
    if slot.of == "visitors":
        notes.append("of visitors only")
    if slot.declined is not None:
        notes.append("may be declined")
    if slot.sources:
        notes.append(f"from {' or '.join(slot.sources)}")
    asked = (
        f"  “{_wording(slot.ask, locale)}”"
        if slot.ask is not None and slot.of != "nobody"
        else "  never asked for"
    )
    yield f"{slot.name} ({'; '.join(notes)}){asked}"


def _call(call: Call) -> Iterator[str]:
    yield call.tool + (", for customers with an account" if call.needs_account else "")
    for argument in call.arguments:
        yield f"  {argument.name} = {_argument(argument)}"
    for reason, offer in call.offers.items():
        yield f"  if it fails{f' ({reason})' if reason else ''}: offers {offer.replace('_', ' ')}"


def _argument(argument: Argument) -> str:
    if argument.value is not None:
        return str(argument.value)
    return ", else ".join(f"“{wording.source}”" for wording in argument.wordings)


def _wording(text: Text | None, locale: str) -> str:
    if text is None:
        return ""
    if text.phrase is not None:
        return str(getattr(phrases_for(locale), text.phrase))
    return ", else ".join(each.source for each in text.by_language[spoken(locale, text.by_language)])
