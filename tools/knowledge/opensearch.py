"""
Articles in an OpenSearch index: BM25 and, where its vectors are of our own embedder, nearest neighbours, put together as the
local index does it.
"""

import asyncio
from collections.abc import Collection, Sequence
from typing import Any

import httpx

from core.errors import (
    CarelineError,
    DataIntegrityFailed,
    DependencyError,
    NotFound,
    RateLimited,
    ToolMisconfigured,
)
from core.field_paths import value_at
from core.identity import Audience
from core.json_api import JsonApi
from core.languages import language_of
from core.lookup_settings import OpenSearchIndex
from core.records import Passage, SearchResult
from core.telemetry.logging import get_logger
from tools.knowledge.embed import Embedder, Vectors
from tools.knowledge.hits import HitReader
from tools.knowledge.question import question_vector
from tools.knowledge.words import terms

_CANDIDATES = 50
_CONTEXT_BOOST = 0.5
_WORDS_SHARE = 0.4
_LONGEST_CONTEXT = 1_000
"""Characters: OpenSearch counts the clauses of a query, 1,024 at most."""

_log = get_logger(__name__)


class OpenSearchKnowledge:
    """
    Implements `tools.ports.KnowledgeSearch`. `client` has the credentials and the limits. A document is an article or a piece of
    one; of the pieces of an article the best is shown.

    Vectors are compared only where the index says, in `_meta.embedder` of its mapping, that our embedder made them; else the
    search is by words and marked so.
    """

    def __init__(
        self,
        client: httpx.AsyncClient,
        index: OpenSearchIndex,
        embedder: Embedder | None,
        *,
        dependency: str = "knowledge",
    ) -> None:
        self._json = JsonApi(client, dependency)
        self._index = index
        self._embedder = embedder if index.vector_field is not None else None
        self._has_our_vectors: bool | None = None
        self._hits = HitReader(index.passage, markup=index.markup, dependency=dependency)
        self._dependency = dependency

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
            RateLimited, DependencyError: as OpenSearch answers.
            DataIntegrityFailed: an answer that the fields do not fit.
            ToolMisconfigured: there is no such index.
        """
        if not self._index.serves(tenant):
            return SearchResult()
        filters = self._filters(tenant)
        vector, has_failed = await self._vector(words, context)
        asking = [self._ask(self._words_query(words, context, filters))]
        if vector is not None:
            asking.append(self._ask(self._near_query(vector, filters)))
        found, *others = await asyncio.gather(*asking, return_exceptions=True)
        if isinstance(found, BaseException):
            raise found
        near: list[dict[str, Any]] = []
        for other in others:
            if isinstance(other, CarelineError):
                _log.warning("knowledge.searched_without_vectors", error=str(other))
                has_failed = True
            elif isinstance(other, BaseException):
                raise other
            else:
                near = other
        asked = frozenset(terms(words))
        found = [hit for hit in found if self._hits.may_be_shown(hit, audience)]
        near = [hit for hit in near if self._hits.may_be_shown(hit, audience)]
        wanted = {language_of(tag) for tag in languages}
        passages = [
            passage
            for passage in self._fused(found, near, asked)
            if not wanted or language_of(passage.language) in wanted
        ]
        return SearchResult(passages=tuple(passages[:limit]), is_lexical_only=has_failed)

    async def probe(self) -> None:
        """
        Also notices when somebody else's vectors, or ours, have come into the index.

        Raises:
            CarelineError: it does not serve us.
        """
        self._learn(await self._mapping())

    async def _vector(self, words: str, context: Sequence[str]) -> tuple[Vectors | None, bool]:
        if self._embedder is None:
            return None, False
        if self._has_our_vectors is None:
            try:
                self._learn(await self._mapping())
            except (DependencyError, RateLimited, DataIntegrityFailed) as exc:
                _log.warning("knowledge.mapping_not_read", error=str(exc))
                return None, True  # asked again with the next question
        if not self._has_our_vectors:
            return None, True
        return await question_vector(self._embedder, words, context)

    async def _mapping(self) -> Any:
        """That of an alias is under the name of its index."""
        try:
            answer, _ = await self._json.ask("GET", f"/{self._index.index}/_mapping")
        except NotFound as missing:
            raise self._no_index() from missing
        if not isinstance(answer, dict) or len(answer) != 1:
            raise self._unexpected("the mapping is not that of one index")
        return next(iter(answer.values()))

    def _learn(self, mapping: Any) -> None:
        if self._embedder is None:
            return
        field = value_at(
            mapping, "/mappings/properties/" + (self._index.vector_field or "").replace(".", "/properties/")
        )
        maker = value_at(mapping, "mappings._meta.embedder")
        dimension = value_at(field, "dimension")
        space = value_at(field, "space_type") or value_at(field, "method.space_type")
        ours = (self._embedder.name, self._embedder.dimension, "cosinesimil")
        before, self._has_our_vectors = self._has_our_vectors, (maker, dimension, space) == ours
        if not self._has_our_vectors and before is not False:
            _log.warning(
                "knowledge.vectors_of_another_model",
                index=self._index.index,
                made_by=maker,
                dimension=dimension,
                space_type=space,
                embedder=self._embedder.name,
            )

    def _filters(self, tenant: str) -> list[dict[str, Any]]:
        own = [self._index.filter] if self._index.filter else []
        of_tenant = [{"term": {self._index.tenant_field: tenant}}] if self._index.tenant_field else []
        return [*own, *of_tenant]

    def _words_query(
        self, words: str, context: Sequence[str], filters: list[dict[str, Any]]
    ) -> dict[str, Any]:
        fields = list(self._index.search_fields)
        clauses: list[dict[str, Any]] = [
            {"multi_match": {"query": words, "fields": fields, "type": "most_fields"}}
        ]
        before = "\n".join(context)[-_LONGEST_CONTEXT:]
        if before.strip():
            clauses.append(
                {
                    "multi_match": {
                        "query": before,
                        "fields": fields,
                        "type": "most_fields",
                        "boost": _CONTEXT_BOOST,
                    }
                }
            )
        return {"bool": {"should": clauses, "minimum_should_match": 1, "filter": filters}}

    def _near_query(self, vector: Vectors, filters: list[dict[str, Any]]) -> dict[str, Any]:
        near: dict[str, Any] = {"vector": vector.tolist(), "k": _CANDIDATES}
        if filters:
            near["filter"] = {"bool": {"filter": filters}}
        return {"knn": {self._index.vector_field: near}}

    async def _ask(self, query: dict[str, Any]) -> list[dict[str, Any]]:
        body: dict[str, Any] = {"size": _CANDIDATES, "query": query}
        if self._index.vector_field is not None:
            body["_source"] = {"excludes": [self._index.vector_field]}
        try:
            answer, _ = await self._json.ask("POST", f"/{self._index.index}/_search", body=body)
        except NotFound as missing:
            raise self._no_index() from missing
        hits = value_at(answer, "hits.hits")
        if not isinstance(hits, list) or any(not isinstance(hit, dict) for hit in hits):
            raise self._unexpected("hits.hits is no list of objects")
        return hits

    def _fused(
        self, by_words: Sequence[dict[str, Any]], near: Sequence[dict[str, Any]], asked: frozenset[str]
    ) -> list[Passage]:
        """Words over the best of them, cosines between the last and the best: as in `tools.knowledge.ranking`."""
        words = {self._key(hit): self._score(hit) for hit in by_words}
        cosines = {self._key(hit): 2 * self._score(hit) - 1 for hit in near}  # cosinesimil: (1 + cos) / 2
        most = max(words.values(), default=0.0) or 1.0
        floor, top = min(cosines.values(), default=0.0), max(cosines.values(), default=0.0)
        share = _WORDS_SHARE if near else 1.0
        scores: dict[str, float] = {}
        for key in {*words, *cosines}:
            meaning = (
                (cosines[key] - floor) / (top - floor)
                if key in cosines and top > floor
                else float(key in cosines)
            )
            scores[key] = share * words.get(key, 0.0) / most + (1 - share) * meaning
        hits = {self._key(hit): hit for hit in (*near, *by_words)}
        passages: dict[str, Passage] = {}
        for key in sorted(scores, key=lambda key: (-scores[key], key)):
            hit = {**hits[key], "_score": scores[key], "_cosine": cosines.get(key)}
            passage = self._hits.passage(hit, asked, place=0)
            if passage is not None and (passage.lexical or (passage.cosine or 0.0) > 0.1):
                passages.setdefault(passage.article_id, passage)
        return list(passages.values())

    def _key(self, hit: dict[str, Any]) -> str:
        key = hit.get("_id")
        if not isinstance(key, str):
            raise self._unexpected("a hit without _id")
        return key

    def _score(self, hit: dict[str, Any]) -> float:
        try:
            return float(hit["_score"])
        except (KeyError, TypeError, ValueError) as exc:
            raise self._unexpected("a hit without _score") from exc

    def _no_index(self) -> ToolMisconfigured:
        return ToolMisconfigured(f"{self._dependency}: OpenSearch has no index {self._index.index}")

    def _unexpected(self, what: str) -> DataIntegrityFailed:
        return DataIntegrityFailed(f"{self._dependency}: {what}", reason="unexpected_answer")
