"""
Read a day out of words, in English, German, Spanish and French: "3 November", "am 3.11.", "ayer", "lundi".

A day without a year is the one nearest to today on the side that is asked for; one without a side is the nearest of all.
"""

import re
from collections.abc import Iterator
from datetime import date, timedelta
from typing import Literal

Side = Literal["any", "past", "future"]

_MONTHS = (
    ("january", "jan", "januar", "jänner", "enero", "janvier"),
    ("february", "feb", "februar", "febrero", "février"),
    ("march", "mar", "märz", "marzo", "mars"),
    ("april", "apr", "abril", "avril"),
    ("may", "mai", "mayo"),
    ("june", "jun", "juni", "junio", "juin"),
    ("july", "jul", "juli", "julio", "juillet"),
    ("august", "aug", "agosto", "août"),
    ("september", "sep", "sept", "septiembre", "septembre"),
    ("october", "oct", "oktober", "okt", "octubre", "octobre"),
    ("november", "nov", "noviembre", "novembre"),
    ("december", "dec", "dezember", "dez", "diciembre", "décembre"),
)
_WEEKDAYS = (
    ("monday", "montag", "lunes", "lundi"),
    ("tuesday", "dienstag", "martes", "mardi"),
    ("wednesday", "mittwoch", "miércoles", "mercredi"),
    ("thursday", "donnerstag", "jueves", "jeudi"),
    ("friday", "freitag", "viernes", "vendredi"),
    ("saturday", "samstag", "sonnabend", "sábado", "samedi"),
    ("sunday", "sonntag", "domingo", "dimanche"),
)
_NEAR = {
    -2: ("the day before yesterday", "vorgestern", "anteayer", "avant-hier"),
    -1: ("yesterday", "gestern", "ayer", "hier"),
    0: ("today", "heute", "hoy", "aujourd'hui", "aujourd’hui"),
    1: ("tomorrow", "morgen", "mañana", "demain"),
    2: ("the day after tomorrow", "übermorgen", "pasado mañana", "après-demain"),
}
_MONTH_OF = {name: number for number, names in enumerate(_MONTHS, start=1) for name in names}
_WEEKDAY_OF = {name: number for number, names in enumerate(_WEEKDAYS) for name in names}
_NEAR_OF = {name: days for days, names in _NEAR.items() for name in names}


def _one_of(names: dict[str, int]) -> str:
    return "|".join(re.escape(name) for name in sorted(names, key=len, reverse=True))


_ISO = re.compile(r"\b(\d{4})-(\d{1,2})-(\d{1,2})\b")
_NUMBERS = re.compile(r"\b(\d{1,2})([./])(\d{1,2})(?:\2(\d{4}|\d{2})?)?(?![\d/.]*\d)")
_DAY_MONTH = re.compile(
    rf"\b(\d{{1,2}})(?:st|nd|rd|th|er|\.)?\s+(?:of\s+|de\s+)?({_one_of(_MONTH_OF)})\b\.?(?:,?\s+(?:de\s+|del\s+)?(\d{{4}})\b)?",
    re.IGNORECASE,
)
_MONTH_DAY = re.compile(
    rf"\b({_one_of(_MONTH_OF)})\.?\s+(?:the\s+)?(\d{{1,2}})(?:st|nd|rd|th)?\b(?:,?\s+(\d{{4}})\b)?",
    re.IGNORECASE,
)
_NEAR_DAY = re.compile(
    rf"(?<!guten\s)(?<!\bla\s)(?<!\besta\s)\b({_one_of(_NEAR_OF)})\b",  # "guten Morgen", "esta mañana" name no day
    re.IGNORECASE,
)
_WEEKDAY = re.compile(rf"\b({_one_of(_WEEKDAY_OF)})\b", re.IGNORECASE)


def days_in(text: str, *, today: date, side: Side = "any", locale: str = "en") -> list[tuple[date, int, int]]:
    """
    Each day with the place where it stands, of the surest way of writing that there is: "Monday, 2 November" is one day. Only an
    American's 3/11 is in March.
    """
    locale = locale.replace("_", "-").lower()
    ways: tuple[Iterator[tuple[date | None, re.Match[str]]], ...] = (
        ((_day(int(each[1]), int(each[2]), int(each[3])), each) for each in _ISO.finditer(text)),
        (
            (_nearest(each[3], _MONTH_OF[each[2].lower()], int(each[1]), today=today, side=side), each)
            for each in _DAY_MONTH.finditer(text)
        ),
        (
            (_nearest(each[3], _MONTH_OF[each[1].lower()], int(each[2]), today=today, side=side), each)
            for each in _MONTH_DAY.finditer(text)
        ),
        (
            (_numbered(each, today=today, side=side, is_american=locale == "en-us"), each)
            for each in _NUMBERS.finditer(text)
        ),
        (
            (today + timedelta(days=_NEAR_OF[each[1].lower()]), each)
            for each in _NEAR_DAY.finditer(text)
            if each[1].lower() != "hier" or locale.startswith("fr")  # German says "here" so
        ),
        ((_weekday(each, today=today, side=side), each) for each in _WEEKDAY.finditer(text)),
    )
    for way in ways:
        found = [(day, each.start(), each.end()) for day, each in way if day is not None]
        if found:
            return found
    return []


def _numbered(found: re.Match[str], *, today: date, side: Side, is_american: bool) -> date | None:
    if found[2] == "." and not found[4] and not found[0].endswith("."):
        return None  # "3.11" is as likely a number
    first, second = int(found[1]), int(found[3])
    month, day = (first, second) if found[2] == "/" and is_american else (second, first)
    return _nearest(found[4], month, day, today=today, side=side)


def _weekday(found: re.Match[str], *, today: date, side: Side) -> date:
    ahead = (_WEEKDAY_OF[found[1].lower()] - today.weekday()) % 7
    is_ahead = ahead == 0 or side == "future" or (side == "any" and ahead <= 3)
    return today + timedelta(days=ahead if is_ahead else ahead - 7)


def _day(year: int, month: int, day: int) -> date | None:
    try:
        return date(year, month, day)
    except ValueError:
        return None


def _nearest(year: str | None, month: int, day: int, *, today: date, side: Side) -> date | None:
    if year:
        return _day(int(year) if len(year) == 4 else 2000 + int(year), month, day)
    near = [each for n in (-1, 0, 1) if (each := _day(today.year + n, month, day)) is not None]
    if side == "past":
        near = [each for each in near if each <= today]
    elif side == "future":
        near = [each for each in near if each >= today]
    return min(near, key=lambda each: abs(each - today), default=None)
