"""
The languages that customers are spoken to in, and which of them a locale means.
"""

from collections.abc import Mapping
from typing import TypeVar

LANGUAGES = ("en", "de", "es", "fr", "ar")
"""Every sentence for customers has a wording in each of these."""
DEFAULT_LANGUAGE = "en"
_RIGHT_TO_LEFT = frozenset({"ar"})
_ISOLATE, _END_ISOLATE = "\u2068", "\u2069"

T = TypeVar("T")


def in_language(table: Mapping[str, T], locale: str | None) -> T:
    """What the table has for `de-AT`, else for `de`, else English."""
    if locale is not None and locale in table:
        return table[locale]
    return table.get(language_of(locale), table[DEFAULT_LANGUAGE])


def runs_right_to_left(locale: str | None) -> bool:
    return language_of(locale) in _RIGHT_TO_LEFT


def set_apart(value: object, locale: str | None) -> str:
    """A number or a name among words that run the other way, so that it is shown in one piece (Unicode's isolates)."""
    return f"{_ISOLATE}{value}{_END_ISOLATE}" if runs_right_to_left(locale) else str(value)


def language_of(locale: str | None) -> str:
    """`de-AT` and `DE_at` → `de`, whether there is a wording in it or not."""
    return (locale or DEFAULT_LANGUAGE).replace("_", "-").partition("-")[0].lower()
