"""
Take out of a value what must not stand in a log: personal data, secrets, and what a customer wrote.

Errs on the side of taking out too much: a log line that says less can be asked about again, one that says too
much cannot.
"""

import re
from collections.abc import Callable, Iterator, Mapping
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
_MARKS_OF_NAMES = ("authori", "cookie", "credential", "email", "phone", "address")
"""Of fields whose values are withheld by their names (`_SECRET_FIELDS`), beside those above."""
_LONG_NUMBER = re.compile(r"\d[\d ()./-]{5,}\d")

# Up to the last "@": a password may hold one, or a slash, that somebody forgot to encode.
_URL_PASSWORD = re.compile(r"(\b[a-z][a-z0-9+.-]{0,30}://)[^\s\"<>]{0,300}@", re.IGNORECASE)
_BEARER = re.compile(r"\b(bearer|basic)\s+[\w.~+/=-]{6,}", re.IGNORECASE)
_JWT = re.compile(r"\beyJ[\w-]{5,}\.[\w-]+(?:\.[\w-]*)?")
_KNOWN_KEYS = re.compile(
    r"\b(?:(?:sk|pk|rk|ghp|gho|xox[abp])[-_][\w-]{10,}|AKIA[A-Z0-9]{12,})", re.IGNORECASE
)
_ASSIGNED_SECRET = re.compile(
    r"((?:passw(?:or)?d|pwd|secret|(?:access_|refresh_|id_|auth_)?token|api[_-]?key|access[_-]?key)[\"']?\s*[=:]\s*[\"']?)[^\s\"'&,;]{3,}",
    re.IGNORECASE,
)
_PRIVATE_KEY = re.compile(r"-----BEGIN [A-Z ]{0,30}PRIVATE KEY-----")
_URL_CREDENTIALS = re.compile(
    r"\b[a-z][a-z0-9+.-]{0,30}://[^\s\"<>/@:]{0,100}:[^\s\"<>/@]{1,200}@", re.IGNORECASE
)
_BEARER_TOKEN = re.compile(r"\bbearer\s+(?=[\w.~+/=-]*\d)[\w.~+/=-]{16,}", re.IGNORECASE)
_EMAIL = re.compile(r"[\w.!#$%&'*+/=?^`{|}~-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,8}")
_NUMBER = re.compile(r"(?<![\w.])(?<!\w-)[+(]{0,2}\d[\d ()./-]{6,26}\d(?!\w)")
_ISO_DATE = re.compile(r"\d{4}-\d\d-\d\d(?:$|[ T./)-])")


def redacted(value: Any, *, depth: int = 0, keeps_words: bool = False) -> Any:
    """
    The value as plain JSON types with everything that must not be logged replaced by what it was, e.g.
    `[email]`. `keeps_words`: what customers wrote stays, without addresses, numbers and secrets in it.
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
            redacted_text(str(name)): redacted_field(
                str(name), item, depth=depth + 1, keeps_words=keeps_words
            )
            for name, item in items
        }
    if not isinstance(value, list | tuple | set | frozenset):
        return redacted_text(_described(value))
    return [redacted(item, depth=depth + 1, keeps_words=keeps_words) for item in list(value)[:_MOST_ITEMS]]


def needs_no_redaction(json: str) -> bool:
    """
    Whether `redacted` with `keeps_words` would surely leave a value as it is that is written as this JSON, but for cutting long
    texts and lists; costs a hundredth of it.
    """
    return not _is_suspicious(json, _MARKS_OF_NAMES)


def redacted_field(name: str, value: Any, *, depth: int = 0, keeps_words: bool = False) -> Any:
    """As `redacted`, and the name decides too: a field called `password` or `body` never shows its value."""
    if value is None or isinstance(value, bool):
        return value
    if name in _CUSTOMER_TEXT_FIELDS and not keeps_words:
        return f"[{len(value)} characters]" if isinstance(value, str) else "[customer's]"
    if names_a_secret(name):
        return "[withheld]"
    return redacted(value, depth=depth, keeps_words=keeps_words)


@lru_cache(maxsize=256)
def names_a_secret(name: str) -> bool:
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


def keys_in(text: str) -> Iterator[str]:
    """What looks like a key, a token or a password in an address, as it stands; no personal data, and no assigned words."""
    if "-----BEGIN" in text:
        yield from (match[0] for match in _PRIVATE_KEY.finditer(text))
    if _is_suspicious(text):
        for pattern in (_KNOWN_KEYS, _JWT, _URL_CREDENTIALS, _BEARER_TOKEN):
            yield from (match[0] for match in pattern.finditer(text))


def without_personal(text: str, put: Callable[[str, str], str]) -> str:
    """
    The whole text with its secrets taken out, and in the place of each address and number what `put` makes of its kind (`email`,
    `phone`, `card`, `number`) and words.
    """
    if not _is_suspicious(text):
        return text
    text = _without_secrets(text)
    text = _EMAIL.sub(lambda found: put("email", found[0]), text)
    return _NUMBER.sub(lambda found: _number(found, put), text)


def _redacted_text(text: str) -> str:
    return without_personal(text, _named)


def _named(kind: str, _: str) -> str:
    return f"[{kind}]"


def _without_secrets(text: str) -> str:
    text = _URL_PASSWORD.sub(r"\1[credentials]@", text)
    text = _BEARER.sub(r"\1 [token]", text)
    text = _JWT.sub("[token]", text)
    text = _KNOWN_KEYS.sub("[key]", text)
    return _ASSIGNED_SECRET.sub(r"\1[withheld]", text)


def _is_suspicious(text: str, more_marks: tuple[str, ...] = ()) -> bool:
    lower = text.lower()
    for mark in (*_MARKS, *more_marks):  # a loop, because a generator costs twice as much here
        if mark in lower:
            return True
    return _LONG_NUMBER.search(text) is not None


def _number(match: re.Match[str], put: Callable[[str, str], str]) -> str:
    found = match[0]
    if _ISO_DATE.match(found):
        return found
    digits = [int(letter) for letter in found if letter.isdecimal()]
    if 13 <= len(digits) <= 19 and _passes_luhn(digits):
        return put("card", found)
    if 8 <= len(digits) <= 15:
        return put("phone", found)
    return found if len(digits) < 8 else put("number", found)


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
