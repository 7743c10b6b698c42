"""
Find numbers that name a person or open an account, by their form and their check digits, and put their kind in their place.

A number whose check digits are wrong is left: order numbers and phone numbers are as long.
"""

import re
from collections.abc import Callable, Collection, Mapping
from functools import lru_cache
from typing import Literal

from agent.brain.guardrails.base import Fails, Passed, Refused

PiiKind = Literal["card", "iban", "national_id", "email", "phone"]

_SEVEN_DIGITS = re.compile(r"\d(?:[ ./()-]{0,3}\d){6}")
"""Nearly all texts hold neither so many nor an @, and are not looked at further."""

_REMEMBERED_CHARACTERS = 1000
_SHORTEST_IBAN = 15
_DNI_LETTERS = "TRWAGMYFPDXBNJZSQVHLCKE"
_NIE_DIGIT = {"X": "0", "Y": "1", "Z": "2"}


def _digits(text: str) -> str:
    return re.sub(r"\D", "", text)


_ISSUED = re.compile(
    r"4\d{12}(?:\d{3}){0,2}|5[1-5]\d{14}|(?:222[1-9]|22[3-9]\d|2[3-6]\d\d|27[01]\d|2720)\d{12}|3[47]\d{13}|3(?:0[0-5]|[689]\d)\d{11}"
    r"|35\d{14}|6(?:011|4[4-9]\d|5\d\d|2\d\d)\d{12,15}|(?:50|5[6-9]|6[0-9])\d{11,17}"
)
"""Numbers as the card schemes give them out: first digits and length."""


def _is_card(found: str) -> bool:
    if _ISSUED.fullmatch(_digits(found)) is None:
        return False
    digits = [int(digit) for digit in _digits(found)]
    doubled = sum(sum(divmod(2 * digit, 10)) for digit in digits[-2::-2])
    return (sum(digits[-1::-2]) + doubled) % 10 == 0


def _is_iban(found: str) -> bool:
    compact = re.sub(r"[ -]", "", found).upper()
    turned = compact[4:] + compact[:4]
    return int("".join(str(int(letter, 36)) for letter in turned)) % 97 == 1


def _is_ssn(found: str) -> bool:
    """United States: no number has an area of 000, 666 or 9xx, a group of 00 or a serial of 0000."""
    area, group, serial = re.split(r"[ -]", found)
    return area not in ("000", "666") and area[0] != "9" and group != "00" and serial != "0000"


def _is_steuer_id(found: str) -> bool:
    """Germany: ISO 7064 MOD 11,10, and one digit that comes two or three times among the first ten."""
    digits = [int(digit) for digit in _digits(found)]
    if len(digits) != 11 or digits[0] == 0:
        return False
    counts = sorted(digits[:10].count(digit) for digit in set(digits[:10]))
    if counts[-1] not in (2, 3) or counts[-2:-1] == [counts[-1]]:
        return False
    product = 10
    for digit in digits[:10]:
        product = 2 * ((digit + product) % 10 or 10) % 11
    return (11 - product) % 10 == digits[10]


def _is_dni(found: str) -> bool:
    """Spain: the letter is the number's rest by 23; foreigners' numbers begin with X, Y or Z."""
    compact = re.sub(r"[ -]", "", found).upper()
    number = _NIE_DIGIT.get(compact[0], compact[0]) + compact[1:-1]
    return _DNI_LETTERS[int(number) % 23] == compact[-1]


def _is_nir(found: str) -> bool:
    """France: 97 minus the number's rest by 97; 2A and 2B are Corsica."""
    compact = re.sub(r"[ .-]", "", found).upper()
    number = compact[:-2].replace("2A", "19").replace("2B", "18")
    return number.isdecimal() and 97 - int(number) % 97 == int(compact[-2:])


def _is_phone(found: str) -> bool:
    return 8 <= len(_digits(found).removeprefix("00")) <= 15


_FORMS: Mapping[PiiKind, tuple[tuple[re.Pattern[str], Callable[[str], bool]], ...]] = {
    "iban": (
        (re.compile(r"\b[A-Za-z]{2}\d{2}(?:[ -]?[A-Za-z0-9]{4}){2,7}(?:[ -]?[A-Za-z0-9]{1,3})?\b"), _is_iban),
    ),
    "card": ((re.compile(r"(?<![\d.])(?<!\d[ -])\d(?:[ -]?\d){12,18}(?![ -]?\d)"), _is_card),),
    "national_id": (
        (re.compile(r"(?<![\d-])\d{3}[ -]\d{2}[ -]\d{4}(?![\d-])"), _is_ssn),
        (
            re.compile(r"(?<!\d)[12][ ]?\d{2}[ ]?\d{2}[ ]?(?:\d{2}|2[AB])[ ]?\d{3}[ ]?\d{3}[ ]?\d{2}(?!\d)"),
            _is_nir,
        ),
        (re.compile(r"(?<!\d)[1-9]\d(?:[ ]?\d{3}){3}(?!\d)"), _is_steuer_id),
        (re.compile(r"\b(?:\d{8}|[XYZ][ -]?\d{7})[ -]?[A-Z]\b", re.IGNORECASE), _is_dni),
    ),
    "email": ((re.compile(r"[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,4}"), lambda _: True),),
    "phone": ((re.compile(r"(?<![\w+])(?<!\d )(?:\+|00)\d[\d ()/.-]{6,20}\d(?!\w)"), _is_phone),),
}
_MARKS: Mapping[PiiKind, str] = {
    "card": "[card number]",
    "iban": "[IBAN]",
    "national_id": "[ID number]",
    "email": "[e-mail address]",
    "phone": "[phone number]",
}


def masked(text: str, kinds: frozenset[PiiKind]) -> str:
    """The text with every such number replaced by its kind."""
    if not _may_hold(text):
        return text
    # What was said before comes again in every turn of its conversation.
    return _remembered(text, kinds) if len(text) <= _REMEMBERED_CHARACTERS else _masked(text, kinds)


def _masked(text: str, kinds: frozenset[PiiKind]) -> str:
    for kind, forms in _FORMS.items():
        if kind not in kinds:
            continue
        for form, holds in forms:
            text = form.sub(_replacing(kind, holds), text)
    return text


_remembered = lru_cache(maxsize=2048)(_masked)


def _may_hold(text: str) -> bool:
    return "@" in text or _SEVEN_DIGITS.search(text) is not None


def _replacing(kind: PiiKind, holds: Callable[[str], bool]) -> Callable[[re.Match[str]], str]:
    def replacement(found: re.Match[str]) -> str:
        text = found[0]
        if holds(text):
            return _MARKS[kind]
        if kind == "iban":  # the words after it may look like its last groups
            for end in (gap.start() for gap in reversed(list(re.finditer(" ", text)))):
                if len(text[:end].replace(" ", "")) >= _SHORTEST_IBAN and holds(text[:end]):
                    return _MARKS[kind] + text[end:]
        return text

    return replacement


class PiiGuardrail:
    def __init__(self, kinds: Collection[PiiKind], *, name: str, fails: Fails) -> None:
        self.name = name
        self.fails = fails
        self._kinds = frozenset(kinds)

    def may_concern(self, text: str) -> bool:
        return _may_hold(text)

    async def check(self, text: str, locale: str) -> Passed | Refused:
        return Passed(masked(text, self._kinds))
