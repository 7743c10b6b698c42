"""
A company's own search over HTTP as the knowledge that answers are quoted from.
"""

import itertools
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import httpx

from core.errors import DataIntegrityFailed, NotFound, ToolMisconfigured
from core.field_paths import value_at
from core.identity import Audience
from core.json_api import JsonApi, filled
from core.languages import language_of
from core.lookup_settings import KnowledgeApi
from core.records import SearchResult
from tools.knowledge.hits import SHOWN_TO, HitReader
from tools.knowledge.words import terms


class HttpKnowledgeSearch:
    """
    Implements `tools.ports.KnowledgeSearch`. `client` has the credentials and the limits.

    The search's own order stands. How much of a question a passage covers (`lexical`) is counted here, over what it answers:
    its scores mean something to itself only.
    """

    def __init__(
        self, client: httpx.AsyncClient, api: KnowledgeApi, *, dependency: str = "knowledge"
    ) -> None:
        self._json = JsonApi(client, dependency)
        self._api = api
        self._dependency = dependency
        self._hits = HitReader(api.passage, markup=api.markup, dependency=dependency)

    async def search(
        self,
        tenant: str,
        words: str,
        *,
        limit: int,
        language: str | None = None,
        context: Sequence[str] = (),
        replies: Sequence[str] = (),
        audience: Audience = Audience.PUBLIC,
        languages: Collection[str] = (),
    ) -> SearchResult:
        """
        Raises, besides what the port says:
            RateLimited, DependencyError: as the search answers.
            DataIntegrityFailed: an answer that the mapping does not fit: no list of hits is not the same as an empty one.
            ToolMisconfigured: nothing is there under its address.
        """
        if not self._api.serves(tenant):
            return SearchResult()
        values: dict[str, str | int] = {
            "tenant": tenant,
            "words": words,
            "limit": limit,
            "language": language or "",
            "context": "\n".join(context),
            "audience": SHOWN_TO[audience][-1],
        }
        path = filled(self._api.path, **{name: str(value) for name, value in values.items()})
        body = _with_values(self._api.body, values) if self._api.method == "POST" else None
        try:
            answer, _ = await self._json.ask(self._api.method, path, body=body)
        except NotFound as missing:
            raise ToolMisconfigured(f"{self._dependency}: nothing is there under its path") from missing
        hits = value_at(answer, self._api.hits)
        if not isinstance(hits, list):
            raise self._unexpected(f"hits ({self._api.hits or 'the answer'}) is no list")
        asked = frozenset(terms(words))
        shown = [hit for hit in hits if self._hits.may_be_shown(hit, audience)]
        found = (self._hits.passage(hit, asked, place) for place, hit in enumerate(shown))
        wanted = {language_of(tag) for tag in languages}
        passages = (
            passage
            for passage in found
            if passage is not None and (not wanted or language_of(passage.language) in wanted)
        )
        return SearchResult(passages=tuple(itertools.islice(passages, limit)))

    async def probe(self) -> None:
        """
        Raises:
            CarelineError: it does not serve us.
        """
        if self._api.probe_path is not None:
            await self._json.probe(self._api.probe_path)

    def _unexpected(self, what: str) -> DataIntegrityFailed:
        return DataIntegrityFailed(f"{self._dependency}: {what}", reason="unexpected_answer")


def _with_values(template: Any, values: Mapping[str, str | int]) -> Any:
    """Put in as values of the document, so that no question can change what is asked."""
    if isinstance(template, dict):
        return {name: _with_values(each, values) for name, each in template.items()}
    if isinstance(template, list):
        return [_with_values(each, values) for each in template]
    if not isinstance(template, str):
        return template
    if template == "{limit}":
        return values["limit"]
    pieces = []
    rest = template
    while rest:
        before, brace, rest = rest.partition("{")
        pieces.append(before)
        if brace:
            name, closed, after = rest.partition("}")
            is_known = bool(closed) and name in values
            pieces.append(str(values[name]) if is_known else "{")
            rest = after if is_known else rest
    return "".join(pieces)
