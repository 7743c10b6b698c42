"""
Take out of a value what must not stand in a log: personal data, secrets, and what a customer wrote.

Errs on the side of taking out too much: a log line that says less can be asked about again, one that says too
much cannot.
"""

import re
from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any

LONGEST_TEXT = 2_000
SHORT = 64
_DEEPEST = 6
_MOST_ITEMS = 50

_SECRET_FIELDS = re.compile(
    r"passw|secret|authori[sz]ation|cookie|credential|api_?key|(?<!idempotency)[_-]key$|(?:^|[_-])token$|(?:^|_)(?:email|phone|address)$",
    re.IGNORECASE,
)
_CUSTOMER_TEXT_FIELDS = frozenset(
    {
        "text",
        "body",
        "subject",
        "description",
        "content",
        "prompt",
        "query",
        "words",
        "user_input",
        "customer_message",
    }
)

# Nearly all values in a log are short names and numbers, and need none of the patterns below.
_KEY_MARKS = ("sk-", "sk_", "pk-", "pk_", "rk-", "rk_", "gho", "ghp", "xox", "akia", "eyj")
_MARKS = ("@", "://", "bearer", "basic", "passw", "pwd", "secret", "token", "key", *_KEY_MARKS)
_LONG_NUMBER = re.compile(r"\d[\d ()./-]{5,}\d")

_URL_PASSWORD = re.compile(r"(\b[a-z][a-z0-9+.-]{0,30}://)[^\s/@]{0,200}@", re.IGNORECASE)
_BEARER = re.compile(r"\b(bearer|basic)\s+[\w.~+/=-]{6,}", re.IGNORECASE)
_JWT = re.compile(r"\beyJ[\w-]{5,}\.[\w-]+(?:\.[\w-]*)?")
_KNOWN_KEYS = re.compile(
    r"\b(?:(?:sk|pk|rk|ghp|gho|xox[abp])[-_][\w-]{10,}|AKIA[A-Z0-9]{12,})", re.IGNORECASE
)
_ASSIGNED_SECRET = re.compile(
    r"((?:passw(?:or)?d|pwd|secret|(?:access_|refresh_|id_|auth_)?token|api[_-]?key|access[_-]?key)[\"']?\s*[=:]\s*[\"']?)[^\s\"'&,;]{3,}",
    re.IGNORECASE,
)
_EMAIL = re.compile(r"[\w.!#$%&'*+/=?^`{|}~-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,8}")
_NUMBER = re.compile(r"(?<![\w.])(?<!\w-)[+(]{0,2}\d[\d ()./-]{6,26}\d(?!\w)")
_ISO_DATE = re.compile(r"\d{4}-\d\d-\d\d(?:$|[ T./)-])")


def redacted(value: Any, *, depth: int = 0) -> Any:
    """
    The value as plain JSON types with everything that must not be logged replaced by what it was, e.g.
    `[email]`.
    """
    if isinstance(value, str):
        return redacted_text(str(value))
    if value is None or isinstance(value, bool | int | float):
        return value
    if depth >= _DEEPEST:
        return "[too deep]"
    if isinstance(value, Mapping):
        items = list(value.items())[:_MOST_ITEMS]
        return {
            redacted_text(str(name)): redacted_field(str(name), item, depth=depth + 1) for name, item in items
        }
    if not isinstance(value, list | tuple | set | frozenset):
        return redacted_text(_described(value))
    return [redacted(item, depth=depth + 1) for item in list(value)[:_MOST_ITEMS]]


def redacted_field(name: str, value: Any, *, depth: int = 0) -> Any:
    """As `redacted`, and the name decides too: a field called `password` or `body` never shows its value."""
    if value is None or isinstance(value, bool):
        return value
    if name in _CUSTOMER_TEXT_FIELDS:
        return f"[{len(value)} characters]" if isinstance(value, str) else "[customer's]"
    if _names_a_secret(name):
        return "[withheld]"
    return redacted(value, depth=depth)


@lru_cache(maxsize=256)
def _names_a_secret(name: str) -> bool:
    return _SECRET_FIELDS.search(name) is not None


def redacted_text(text: str, *, longest: int = LONGEST_TEXT) -> str:
    if len(text) > longest:
        # Cut at a blank, so that half a number or address does not slip through as something else.
        text = text[: text.rfind(" ", 0, longest) if " " in text[:longest] else longest] + " […]"
    if len(text) <= SHORT:
        return _redacted_short(text)
    return _redacted_text(text)


@lru_cache(maxsize=1024)
def _redacted_short(text: str) -> str:
    """Ids, names and statuses come again on every line of a turn."""
    return _redacted_text(text)


@lru_cache(maxsize=4096)
def redacted_short_field(name: str, text: str) -> str:
    """`redacted_field` for a text of at most `SHORT` characters: the same ones stand on every line of a turn."""
    return str(redacted_field(name, text))


def _redacted_text(text: str) -> str:
    if not _is_suspicious(text):
        return text
    text = _URL_PASSWORD.sub(r"\1[credentials]@", text)
    text = _BEARER.sub(r"\1 [token]", text)
    text = _JWT.sub("[token]", text)
    text = _KNOWN_KEYS.sub("[key]", text)
    text = _ASSIGNED_SECRET.sub(r"\1[withheld]", text)
    text = _EMAIL.sub("[email]", text)
    return _NUMBER.sub(_without_number, text)


def _is_suspicious(text: str) -> bool:
    lower = text.lower()
    for mark in _MARKS:  # a loop, because a generator costs twice as much here
        if mark in lower:
            return True
    return _LONG_NUMBER.search(text) is not None


def _without_number(match: re.Match[str]) -> str:
    found = match[0]
    if _ISO_DATE.match(found):
        return found
    digits = [int(letter) for letter in found if letter.isdecimal()]
    if 13 <= len(digits) <= 19 and _passes_luhn(digits):
        return "[card]"
    if 8 <= len(digits) <= 15:
        return "[phone]"
    return found if len(digits) < 8 else "[number]"


def _passes_luhn(digits: list[int]) -> bool:
    doubled = (sum(divmod(2 * digit, 10)) for digit in digits[-2::-2])
    return (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0


def _described(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat(timespec="milliseconds")  # more digits read like a phone number
    try:
        return repr(value)
    except Exception:  # a log line must outlive a broken __repr__
        return f"<{type(value).__name__}>"
