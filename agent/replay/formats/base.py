"""
What every reader of recorded conversations shares: where a record stands, what is broken, and texts as customers wrote them.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from agent.replay.log import RecordedConversation
from core.errors import InvalidInput
from tools.knowledge.formats import READERS

_SHOWN = 100
_NO_TEXT = "holds bytes that are no UTF-8, or half a character"
_IN_THOUSANDTHS_FROM = 1e11
"""As seconds that is the year 5138."""


class LogUnreadable(InvalidInput):
    """A file is in none of the formats, or broken; the message names the file and, where there is one, the line."""


class Broken(Exception):
    """One record cannot be used; the text says why. Never leaves the readers."""


@dataclass(slots=True)
class BrokenLines:
    """How many records could not be read, and the first of them with file, line and reason: a long log may have many."""

    count: int = 0
    first: list[str] = field(default_factory=list)

    def note(self, told: str) -> None:
        self.count += 1
        if len(self.first) < _SHOWN:
            self.first.append(told)


@dataclass(frozen=True, slots=True)
class Record:
    """One JSON value of a file: `number` counts them from 0, `line` is where it begins."""

    number: int
    line: int
    value: Any


@dataclass(frozen=True, slots=True)
class Format:
    """
    `fits` looks at a file's first record. `reader` gives, for a file, what turns each record into conversations; that raises
    `Broken`, or what looking into a record of another form raises.
    """

    name: str
    fits: Callable[[Any], bool]
    reader: Callable[[Path], Callable[[Record], Iterable[RecordedConversation]]]


MALFORMED = (Broken, msgspec.ValidationError, KeyError, TypeError, IndexError, AttributeError, ValueError)
"""What looking into a record raises where it is not of its format."""


def why(exc: Exception) -> str:
    if isinstance(exc, Broken | msgspec.ValidationError):
        return str(exc)
    if isinstance(exc, KeyError):
        return f"has no field {exc.args[0]!r}"
    return f"is not of this format: {exc}"


def readable(text: str) -> str:
    """
    Raises:
        Broken: it holds bytes that are no UTF-8, or half a character.
    """
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError as exc:
            raise Broken(_NO_TEXT) from exc
    return text


def whole(conversation: RecordedConversation) -> RecordedConversation:
    """Raises as `readable`, for all that is in it."""
    try:
        msgspec.json.encode(conversation)
    except UnicodeEncodeError as exc:
        raise Broken(_NO_TEXT) from exc
    return conversation


def text_of_html(html: str | None) -> str:
    """What a customer would see of it, block by block, lists as in Markdown."""
    if not html:
        return ""
    if "<" not in html and "&" not in html:
        return html.strip()
    return READERS[".html"](html.encode("utf-8", "replace")).body.strip()


def iso_time(at: Any) -> str | None:
    """ISO 8601 of what vendors write: the same, or seconds or milliseconds since 1970."""
    if at in (None, ""):
        return None
    if isinstance(at, bool):
        raise Broken(f"{at!r} is no time")
    if isinstance(at, str) and not at.strip().replace(".", "", 1).isdigit():
        try:
            return datetime.fromisoformat(at.strip().replace(" UTC", "+00:00")).isoformat()
        except ValueError:
            raise Broken(f"{at!r} is no time") from None
    try:
        seconds = float(at)
        return datetime.fromtimestamp(
            seconds / 1000 if seconds >= _IN_THOUSANDTHS_FROM else seconds, UTC
        ).isoformat()
    except (ValueError, OverflowError, OSError, TypeError):
        raise Broken(f"{at!r} is no time") from None
