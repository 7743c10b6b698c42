"""Claims about what is read out of a customer's words for a slot."""

import re
from datetime import date

import pytest

from agent.brain.flows.declared import Choice, Slot, SlotKind
from agent.brain.flows.slots import Reader

TODAY = date(2026, 11, 25)  # a Wednesday
REASON = Slot(
    name="reason",
    kind=SlotKind.CHOICE,
    choices=(
        Choice("broken", {"en": ("Broken", "damaged"), "de": ("Kaputt",)}),
        Choice("glass", {"en": ("Broken glass",)}),
        Choice("late", {"en": ("Too late", "late")}),
    ),
)


def value(slot: Slot, text: str, *, locale: str = "en", is_asked: bool = False) -> str | None:
    found = Reader(today=TODAY, locale=locale).find(slot, text, is_asked=is_asked)
    assert found is None or 0 <= found.start < found.end <= len(text)
    return found.value if found is not None else None


@pytest.mark.parametrize(
    ("words", "locale", "day"),
    [
        ("it came on 2026-11-03", "en", "2026-11-03"),
        ("on 3 November", "en", "2026-11-03"),
        ("November 3rd, 2025, I think", "en", "2025-11-03"),
        ("on Monday, 2 November", "en", "2026-11-02"),
        ("3/11/2026", "en", "2026-11-03"),
        ("3/11/2026", "en-US", "2026-03-11"),
        ("am 3.11.", "de", "2026-11-03"),
        ("am 3.11.25", "de", "2025-11-03"),
        ("3. November", "de", "2026-11-03"),
        ("el 3 de noviembre de 2026", "es", "2026-11-03"),
        ("le 3 novembre", "fr", "2026-11-03"),
        ("le 1er décembre 2025", "fr", "2025-12-01"),
        ("yesterday", "en", "2026-11-24"),
        ("vorgestern kam es an", "de", "2026-11-23"),
        ("ayer", "es", "2026-11-24"),
        ("avant-hier", "fr", "2026-11-23"),
        ("on Tuesday", "en", "2026-11-24"),
        ("last friday", "en", "2026-11-20"),
        ("December 24", "en", "2025-12-24"),
        ("3.11 kilos", "en", None),
        ("Guten Morgen", "de", None),
        ("es ist hier", "de", None),
        ("on 31 February", "en", None),
        ("tomorrow", "en", None),
        ("the lamp", "en", None),
    ],
)
def test_a_past_day_is_read_in_four_languages(words: str, locale: str, day: str | None) -> None:
    assert value(Slot(name="day", kind=SlotKind.DATE, days="past"), words, locale=locale) == day


@pytest.mark.parametrize(
    ("words", "day"), [("on Friday", "2026-11-27"), ("tomorrow", "2026-11-26"), ("3 November", "2027-11-03")]
)
def test_a_day_to_come_is_the_next_of_that_name(words: str, day: str) -> None:
    assert value(Slot(name="day", kind=SlotKind.DATE, days="future"), words) == day


@pytest.mark.parametrize(
    ("words", "is_asked", "number"),
    [
        ("2 of them", False, "2"),
        ("-2,5 degrees", False, "-2.5"),
        ("ORD-1001", False, None),
        ("3 or 4", False, None),
        ("3 or 4", True, "3"),
        ("two, please", True, "2"),
        ("two", False, None),
        ("12", False, None),
    ],
)
def test_a_number_stands_alone_and_within_its_bounds(words: str, is_asked: bool, number: str | None) -> None:
    slot = Slot(name="n", kind=SlotKind.NUMBER, least=-5, most=10, is_whole=False)

    assert value(slot, words, is_asked=is_asked) == number


@pytest.mark.parametrize(
    ("words", "is_asked", "choice"),
    [
        ("it is DAMAGED", False, "broken"),
        ("sie ist kaputt", False, "broken"),
        ("broken glass", False, "glass"),
        ("not broken, late", False, "late"),
        ("broken or late", False, None),
        ("unbroken", False, None),
        ("2", True, "glass"),
        ("2", False, None),
        ("9", True, None),
    ],
)
def test_a_choice_is_known_by_its_words(words: str, is_asked: bool, choice: str | None) -> None:
    assert value(REASON, words, is_asked=is_asked) == choice


@pytest.mark.parametrize(
    ("kind", "words", "found"),
    [
        (SlotKind.EMAIL, "write to eva@example.org.", "eva@example.org"),
        (SlotKind.EMAIL, "eva at example", None),
        (SlotKind.PHONE, "call +49 (30) 123-45 67", "+49301234567"),
        (SlotKind.PHONE, "ORD-1234567", None),
        (SlotKind.PHONE, "on 3 11", None),
        (SlotKind.REFERENCE, "order ord-1001 please", "ORD-1001"),
    ],
)
def test_addresses_and_references_are_found_among_words(
    kind: SlotKind, words: str, found: str | None
) -> None:
    pattern = re.compile(r"ORD-\d{4}", re.IGNORECASE) if kind is SlotKind.REFERENCE else None

    assert value(Slot(name="any", kind=kind, pattern=pattern), words) == found
