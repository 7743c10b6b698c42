"""
Read the value of a slot out of a customer's words.

Values are kept as text: a day as `2026-11-03`, a number with a point, a choice by its name, yes and no as such.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from functools import cache

from agent.brain.flows.days import days_in
from agent.brain.flows.declared import Choice, Slot, SlotKind
from tools.addresses import compact_phone_number, is_email_address

LONGEST_TEXT = 5000
_MOST_PHONE_DIGITS = 15  # E.164
_LEAST_PHONE_DIGITS = 7

_SENTENCE = re.compile(r"(?<=[.!?])\s+|\n")
_EMAIL = re.compile(r"[^\s<>,;()\"@]{1,64}@[^\s<>,;()\"]{1,255}")
_PHONE = re.compile(r"(?<![\w+-])\+?\(?\d[\d ()./-]{5,24}\d(?![\w-])")
_NUMBER = re.compile(r"(?<![\w.,/-])[-+]?\d{1,12}(?:[.,]\d{1,6})?(?![\w-]|[.,/]\d)")
_COUNT_WORDS = {
    word: number
    for number, words in {
        1: "one eins un uno una une",
        2: "two zwei dos deux both beide ambos",
        3: "three drei tres trois",
        4: "four vier cuatro quatre",
        5: "five fünf cinco cinq",
        6: "six sechs seis",
        7: "seven sieben siete sept",
        8: "eight acht ocho huit",
        9: "nine neun nueve neuf",
        10: "ten zehn diez dix",
    }.items()
    for word in words.split()
}
_COUNT = re.compile(rf"(?<![\w-])(?:{'|'.join(_COUNT_WORDS)})(?![\w-])", re.IGNORECASE)
_NEGATION = re.compile(
    r"\b(?:not|isn['’]?t|wasn['’]?t|never|nicht|kein\w*|no|nunca|pas|jamais)\s+(?:\w+\s+)?$", re.IGNORECASE
)
_POSITION = re.compile(r"\W*(\d{1,2})[.)]?\W*")


@dataclass(frozen=True, slots=True)
class Found:
    """A value, and where in the text it stands."""

    value: str
    start: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """Who reads: today's date and the customer's locale decide what "on Monday" and "3/11" mean."""

    today: date
    locale: str

    def find(self, slot: Slot, text: str, *, is_asked: bool, other_than: str | None = None) -> Found | None:
        """
        The value of a slot that is no text; None where the words hold none, or leave open which.

        `is_asked`: the words answer this slot's question. `other_than`: a value that they correct.
        """
        candidates = self._candidates(slot, text, is_asked=is_asked)
        found = [each for each in candidates if each.value != other_than]
        may_be_first = is_asked and slot.kind is not SlotKind.CHOICE
        return found[0] if found and (may_be_first or len({each.value for each in found}) == 1) else None

    def _candidates(self, slot: Slot, text: str, *, is_asked: bool) -> Iterator[Found]:
        match slot.kind:
            case SlotKind.CHOICE:
                return _choices(slot, text, is_asked=is_asked)
            case SlotKind.REFERENCE if slot.pattern is not None:
                return _references(slot.pattern, text)
            case SlotKind.DATE:
                return self._days(slot, text)
            case SlotKind.EMAIL | SlotKind.PHONE:
                return _addresses(text) if slot.kind is SlotKind.EMAIL else _phones(text)
            case SlotKind.NUMBER:
                return _numbers(slot, text, is_asked=is_asked)
            case _:
                return iter(())

    def _days(self, slot: Slot, text: str) -> Iterator[Found]:
        for day, start, end in days_in(text, today=self.today, side=slot.days, locale=self.locale):
            is_too_late = slot.days == "past" and day > self.today
            is_too_early = slot.days == "future" and day < self.today
            if not is_too_late and not is_too_early:
                yield Found(day.isoformat(), start, end)


def is_value(slot: Slot, text: str) -> bool:
    """Whether a text can stand for a value of the slot, as they are kept."""
    match slot.kind:
        case SlotKind.CHOICE:
            return any(choice.value == text for choice in slot.choices)
        case SlotKind.YES_NO:
            return text in ("yes", "no")
        case SlotKind.DATE | SlotKind.NUMBER:
            try:
                date.fromisoformat(text) if slot.kind is SlotKind.DATE else float(text)
            except ValueError:
                return False
    return True


def shortened(text: str, characters: int) -> str:
    """The first sentence, and that cut between words where it is too long."""
    first = next((sentence for sentence in _SENTENCE.split(text.strip()) if sentence.strip()), "")
    if len(first) <= characters:
        return first
    return first[: characters - 1].rsplit(" ", 1)[0] + "…"


def _references(pattern: re.Pattern[str], text: str) -> Iterator[Found]:
    """In capitals where only these fit the pattern: customers write "ord-1001"."""
    for match in pattern.finditer(text):
        capitals = match[0].upper()
        is_for_capitals = re.fullmatch(pattern.pattern, capitals) and not re.fullmatch(
            pattern.pattern, match[0]
        )
        yield Found(capitals if is_for_capitals else match[0], match.start(), match.end())


def _addresses(text: str) -> Iterator[Found]:
    for match in _EMAIL.finditer(text):
        address = match[0].rstrip(".!?:")
        if is_email_address(address):
            yield Found(address, match.start(), match.start() + len(address))


def _phones(text: str) -> Iterator[Found]:
    for match in _PHONE.finditer(text):
        number = compact_phone_number(match[0])
        if _LEAST_PHONE_DIGITS <= sum(each.isdigit() for each in number) <= _MOST_PHONE_DIGITS:
            yield Found(number, match.start(), match.end())


def _numbers(slot: Slot, text: str, *, is_asked: bool) -> Iterator[Found]:
    for match in _NUMBER.finditer(text):
        if (value := _bounded(slot, float(match[0].replace(",", ".")))) is not None:
            yield Found(value, match.start(), match.end())
    if is_asked:
        for match in _COUNT.finditer(text):
            if (value := _bounded(slot, float(_COUNT_WORDS[match[0].lower()]))) is not None:
                yield Found(value, match.start(), match.end())


def _bounded(slot: Slot, number: float) -> str | None:
    if (slot.least is not None and number < slot.least) or (slot.most is not None and number > slot.most):
        return None
    if number.is_integer():
        return str(int(number))
    return None if slot.is_whole else str(number)


def _choices(slot: Slot, text: str, *, is_asked: bool) -> Iterator[Found]:
    position = _POSITION.fullmatch(text) if is_asked else None
    if position is not None and 0 < int(position[1]) <= len(slot.choices):
        yield Found(slot.choices[int(position[1]) - 1].value, 0, len(text))
        return
    found = [
        Found(choice.value, match.start(), match.end())
        for choice in slot.choices
        for match in _pattern_of(choice).finditer(text)
    ]
    for each in found:
        is_inside = any(
            other.start <= each.start
            and each.end <= other.end
            and other.end - other.start > each.end - each.start
            for other in found
        )
        if not is_inside and not _NEGATION.search(text[: each.start][-40:]):
            yield each


@cache
def _patterns(words: tuple[str, ...]) -> re.Pattern[str]:
    longest_first = sorted(words, key=len, reverse=True)
    either = "|".join(r"\s+".join(re.escape(part) for part in word.split()) for word in longest_first)
    return re.compile(rf"(?<!\w)(?:{either})(?!\w)", re.IGNORECASE)


def _pattern_of(choice: Choice) -> re.Pattern[str]:
    return _patterns(tuple(word for words in choice.words.values() for word in words))
