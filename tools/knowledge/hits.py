"""
Read the hits of another search as passages: only the fields that are named, and only as what they should be.
"""

from decimal import Decimal
from typing import Any, Literal
from urllib.parse import urlsplit

import selectolax.lexbor

from core.errors import DataIntegrityFailed
from core.field_paths import value_at
from core.identity import Audience
from core.lookup_settings import PassageFields
from core.records import Passage
from tools.knowledge.words import terms

_LONGEST_TEXT = 4_000

SHOWN_TO = {
    Audience.PUBLIC: ("public",),
    Audience.CUSTOMER: ("public", "customer"),
    Audience.INTERNAL: ("public", "customer"),  # whoever asks here asks for a customer
}


class HitReader:
    """
    How much of a question a passage covers (`lexical`) is counted here, over what it answers: another search's scores mean
    something to itself only.
    """

    def __init__(self, fields: PassageFields, *, markup: Literal["text", "html"], dependency: str) -> None:
        self._fields = fields
        self._markup = markup
        self._dependency = dependency

    def may_be_shown(self, hit: Any, audience: Audience) -> bool:
        path = self._fields.audience
        return path is None or value_at(hit, path) in SHOWN_TO[audience]

    def passage(self, hit: Any, asked: frozenset[str], place: int) -> Passage | None:
        """None for a hit without a text: there is nothing to quote."""
        fields = self._fields
        if not isinstance(hit, dict):
            raise self._unexpected("a hit is no object")

        def text(name: str, path: str | None, *, must: bool = False) -> str:
            value = None if path is None else value_at(hit, path)
            if value is None and not must:
                return ""
            if isinstance(value, bool) or not isinstance(value, str | int):
                raise self._unexpected(f"passage.{name} ({path}) is no text")
            return str(value)

        def number(name: str, path: str | None) -> float | None:
            value = None if path is None else value_at(hit, path)
            if value is None:
                return None
            if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
                raise self._unexpected(f"passage.{name} ({path}) is no number")
            return float(value)

        title = self._plain(text("title", fields.title, must=True))
        quotable = self._plain(text("text", fields.text))[:_LONGEST_TEXT]
        if not quotable:
            return None
        score = number("score", fields.score)
        cosine = number("cosine", fields.cosine)
        return Passage(
            article_id=text("article_id", fields.article_id, must=True),
            title=title,
            url=_link(text("url", fields.url)),
            heading=self._plain(text("heading", fields.heading)),
            text=quotable,
            score=score if score is not None else 1.0 / (place + 1),
            cosine=None if cosine is None else max(-1.0, min(1.0, cosine)),
            lexical=_share(asked, f"{title}\n{quotable}"),
            category=text("category", fields.category) or None,
            language=text("language", fields.language) or "en",
        )

    def _plain(self, text: str) -> str:
        if self._markup == "html":
            text = selectolax.lexbor.LexborHTMLParser(text).text(separator=" ", strip=True)
        return " ".join(text.split()) if self._markup == "html" else text.strip()

    def _unexpected(self, what: str) -> DataIntegrityFailed:
        return DataIntegrityFailed(f"{self._dependency}: {what}", reason="unexpected_answer")


def _link(url: str) -> str | None:
    """A customer may follow it, so nothing but the web."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return None
    return url if parts.scheme in {"http", "https"} and parts.hostname else None


def _share(asked: frozenset[str], text: str) -> float:
    return len(asked.intersection(terms(text))) / len(asked) if asked else 0.0
