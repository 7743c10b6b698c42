"""
Make an article of what was read, wherever it was read: for whom it is, in which language, and until when.

What an article says of itself counts before what is said of all of its source; of two audiences, the narrower counts.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import Self

from core.identity import Audience
from core.ids import digest
from core.records import Article
from tools.knowledge.formats import UnreadableError

_AUDIENCES = tuple(Audience)
_LANGUAGE = re.compile(r"[A-Za-z]{2,3}(?:[-_][A-Za-z0-9]{1,8})*")
_DEFAULT_LANGUAGE = "en"


@dataclass(frozen=True, slots=True)
class Failure:
    """
    One file, page, or line of a JSONL file, that did not become an article; `why` is for whoever sent it.

    `article_id` is what it would have been called; None where nobody can tell, so it may be any.
    """

    name: str
    why: str
    article_id: str | None = None


@dataclass(frozen=True, slots=True)
class Kept:
    """An article that is as it was stored, so that its text was not even fetched."""

    article_id: str


@dataclass(frozen=True, slots=True)
class Terms:
    """On what terms articles are shown, as far as anybody has said."""

    audience: Audience = Audience.PUBLIC
    language: str | None = None
    expires_at: datetime | None = None

    def narrowed(self, audience: Audience) -> Self:
        """For no more than the audience."""
        return replace(self, audience=max(self.audience, audience, key=_AUDIENCES.index))

    def said_by(self, fields: Mapping[str, str]) -> Self:
        """
        With what an article says of itself: `audience`, `language` (or `lang`) and `expires`.

        Raises:
            UnreadableError: one of them cannot be understood. Nothing is guessed: it could be shown to anybody.
        """
        said = self
        if name := fields.get("audience"):
            said = said.narrowed(audience_of(name))
        if language := fields.get("language") or fields.get("lang"):
            said = replace(said, language=language)
        if expires := fields.get("expires"):
            said = replace(said, expires_at=expiry_of(expires))
        return said


NO_TERMS = Terms()


def audience_of(name: str) -> Audience:
    """Raises UnreadableError."""
    try:
        return Audience(name.strip().lower())
    except ValueError:
        raise UnreadableError(f"audience is public, customer or internal, not {name!r}") from None


def expiry_of(text: str) -> datetime:
    """
    When an article is over: a day's end in UTC, or a moment with its offset.

    Raises:
        UnreadableError: neither of them.
    """
    try:
        day = date.fromisoformat(text.strip())
        return datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(days=1)
    except (ValueError, OverflowError):
        pass
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise UnreadableError(
            f"expires is a day (2026-12-31) or a moment with its offset (2026-12-31T18:00+01:00), not {text!r}"
        )
    return moment.astimezone(UTC)


def language_tag(text: str) -> str:
    """Raises UnreadableError."""
    if _LANGUAGE.fullmatch(text.strip()) is None:
        raise UnreadableError(f"a language is written as en or pt-BR, not {text!r}")
    return text.strip()


def make_article(
    article_id: str,
    *,
    title: str,
    body: str,
    url: str | None,
    category: str | None,
    source: str,
    terms: Terms,
) -> Article:
    language = terms.language or _DEFAULT_LANGUAGE
    parts = [title, body, url or "", category or "", language]
    if terms.audience is not Audience.PUBLIC or terms.expires_at is not None:
        parts += [terms.audience, terms.expires_at.isoformat() if terms.expires_at is not None else ""]
    return Article(
        article_id=article_id,
        title=title,
        body=body,
        url=url,
        category=category,
        language=language,
        source=source,
        content_hash=digest(*parts).hex(),
        audience=terms.audience,
        expires_at=terms.expires_at,
    )
