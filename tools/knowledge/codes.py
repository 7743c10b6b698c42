"""
Find the codes in a question: error codes, order, part and model numbers, ids. They mean one thing exactly, or nothing.
"""

import re

from tools.knowledge.words import terms

_TOKEN = re.compile(r"[^\W_]+(?:[-_][^\W_]+)*")
_COUNT = re.compile(r"\d+[^\W\d_]+")
"""A number and its unit, as in "30-day", "16GB" and "2nd"."""
_YEAR = re.compile(r"(?:19|20)\d\d")
_SHORTEST_NUMBER = 4
_SHORTEST_CODE = 3
_MOST_CODES = 8


def codes(text: str) -> tuple[tuple[str, ...], ...]:
    """
    Each code as the terms that stand side by side where an article has it, in the order of the text.

    "E-4017" and "e4017" are one; "ERR_DISK_7" is three terms in a row.
    """
    found = [_terms_of(token) for token in _TOKEN.findall(text) if _is_code(token)]
    return tuple(dict.fromkeys(code for code in found if code))[:_MOST_CODES]


def ids(text: str) -> tuple[str, ...]:
    """The words that may be an article's id as they stand: whatever has a digit, without the punctuation around it."""
    words = (word.strip(".,;:!?()[]{}<>\"'#") for word in text.split())
    return tuple(dict.fromkeys(word for word in words if any(map(str.isdigit, word))))[:_MOST_CODES]


def _is_code(token: str) -> bool:
    if "_" in token and token.isupper():
        return True
    whole = token.replace("-", "").replace("_", "")
    if whole.isdecimal():
        return len(whole) >= _SHORTEST_NUMBER and _YEAR.fullmatch(token) is None
    has_digit = any(map(str.isdigit, whole))
    return has_digit and len(whole) >= _SHORTEST_CODE and _COUNT.fullmatch(whole) is None


def _terms_of(token: str) -> tuple[str, ...]:
    """Of each part between underscores the whole, as `terms` makes it of every way to write it."""
    parts = (terms(part.replace("-", "").casefold()) for part in token.split("_"))
    return tuple(part[0] for part in parts if part)
