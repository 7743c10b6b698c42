"""
Find in a reply what no customer may read: traces of the program, names of the inside, keys and passwords.

Texts that the customer wrote, or that stand in a cited article, may be said back: articles are about errors too.
"""

import builtins
import re
from collections.abc import Collection, Iterable, Iterator
from functools import cache

from core.errors import CarelineError, ErrorType
from core.resilience.degradation import DEPENDENCIES
from core.telemetry.redaction import keys_in

_INSTRUCTION_WORDS = 8
"""So many words in a row that stand in the model's instructions too are no chance."""
_SHORTEST_SECRET = 6

_TRACES = (
    (
        "a traceback",
        re.compile(r"Traceback \(most recent call|\bFile \"[^\"]+\", line \d+|\bsite-packages\b"),
    ),
    ("an exception", re.compile(r"\b(?:[A-Z][a-z0-9]+)+(?:Error|Exception)\b|\b\w+\.exceptions?\.\w+")),
    (
        "an object of the program",
        re.compile(r"<[\w.]+ object at 0x[0-9a-f]+>|\bNoneType\b|\bcoroutine object\b"),
    ),
    (
        "a database",
        re.compile(
            r"\b(?:sqlite3?|psycopg\d?|sqlalchemy|asyncpg|aiosqlite|httpx|hiredis)\b[.:]"
            r"|\b(?:sqlite\+\w+|postgres(?:ql)?(?:\+\w+)?|rediss?|amqps?|nats)://"
            r"|\bSELECT\b.{1,200}\bFROM\b|\bINSERT INTO\b|\bUPDATE \w+ SET\b"
        ),
    ),
    (
        "an internal address",
        re.compile(
            r"\blocalhost\b|\b(?:127|10)(?:\.\d{1,3}){3}\b|\b192\.168(?:\.\d{1,3}){2}\b|\b169\.254(?:\.\d{1,3}){2}\b"
            r"|\b172\.(?:1[6-9]|2\d|3[01])(?:\.\d{1,3}){2}\b|\b0\.0\.0\.0\b"
            r"|\b[\w-]+(?:\.[\w-]+)*\.(?:internal|local|localdomain|svc|cluster\.local)\b"
        ),
    ),
    ("a status of HTTP", re.compile(r"\bHTTP[/ ]\d|\bstatus(?: code|_code)?:? ?[45]\d\d\b")),
)

_WORD = re.compile(r"\w+")


class InternalText:
    """`names` are the installation's own: tools, hosts; `secrets` its settings' values; `instructions` what models are told."""

    def __init__(
        self,
        *,
        names: Collection[str] = (),
        secrets: Collection[str] = (),
        instructions: Iterable[str] = (),
    ) -> None:
        known = _own_names() | frozenset(names)
        self._names = re.compile(
            "|".join(
                rf"(?<![\w.-]){re.escape(name)}(?![\w-])" for name in sorted(known, key=len, reverse=True)
            )
        )
        self._secrets = tuple(secret for secret in secrets if len(secret) >= _SHORTEST_SECRET)
        self._instructions = {run for text in instructions for run in _runs(text)}

    def found(self, text: str, *, may_say: Iterable[str] = ()) -> Iterator[tuple[str, str]]:
        """What it is, and the words; not what stands in one of `may_say`."""
        allowed = tuple(may_say)
        for what, pattern in (*_TRACES, ("a name of the inside", self._names)):
            for match in pattern.finditer(text):
                if not any(match[0] in said for said in allowed):
                    yield what, match[0]
        leaked = next((run for run in _runs(text) if run in self._instructions), None)
        if leaked is not None and not any(leaked in _runs(said) for said in allowed):
            yield "the model's instructions", " ".join(leaked)

    def secrets_in(self, text: str, *, may_say: Iterable[str] = ()) -> Iterator[str]:
        """Shortened, so that whoever reads of it learns none."""
        allowed = tuple(may_say)
        for secret in (*(secret for secret in self._secrets if secret in text), *keys_in(text)):
            if not any(secret in said for said in allowed):
                yield f"{secret[:4]}… ({len(secret)} characters)"


@cache
def _own_names() -> frozenset[str]:
    """Those that are no words of any language: `timeout_error`, `LeaseLost`, `search_service`, `notifications.sms`."""
    return frozenset(_names())


def _names() -> Iterator[str]:
    yield from (error.value for error in ErrorType)
    yield from (name for name in DEPENDENCIES if "_" in name or "." in name)
    yield from (kind.__name__ for kind in _subclasses(CarelineError) if _has_humps(kind.__name__))
    yield from (
        name
        for name, kind in vars(builtins).items()
        if isinstance(kind, type) and issubclass(kind, BaseException) and _has_humps(name)
    )


def _subclasses(kind: type[Exception]) -> Iterator[type[Exception]]:
    for each in kind.__subclasses__():
        yield each
        yield from _subclasses(each)


def _has_humps(name: str) -> bool:
    return sum(letter.isupper() for letter in name) > 1


def _runs(text: str) -> list[tuple[str, ...]]:
    words = _WORD.findall(text.casefold())
    return [
        tuple(words[start : start + _INSTRUCTION_WORDS])
        for start in range(len(words) - _INSTRUCTION_WORDS + 1)
    ]
