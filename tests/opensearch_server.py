"""
As much of OpenSearch as a search of articles needs, in the words of its documentation: `_search` with bool, multi_match, term and
knn, `_mapping`, and its errors for what it does not know.
"""

import math
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np

from tests.http_faults import Answer, Asked, as_json

_WORD = re.compile(r"\w+")
_K1, _B = 1.2, 0.75
_OF_A_BODY = frozenset({"size", "query", "_source", "from"})
_OF_MULTI_MATCH = frozenset({"query", "fields", "type", "boost", "operator"})
_OF_KNN = frozenset({"vector", "k", "filter"})


class BadQuery(Exception):
    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(reason)
        self.kind = kind


class OpenSearchServer:
    """The `answer` of a `FaultyServer`. `documents` by `_id`; `mappings` as they were when the index was made."""

    def __init__(
        self, index: str, documents: Mapping[str, Mapping[str, Any]], mappings: Mapping[str, Any]
    ) -> None:
        self._index = index
        self._documents = documents
        self._mappings = mappings

    def __call__(self, asked: Asked) -> Answer:
        _, index, *rest = asked.path.split("/")
        if index != self._index:
            return _error(404, "index_not_found_exception", f"no such index [{index}]")
        if asked.method == "GET" and rest == ["_mapping"]:
            return as_json({"help-000001": {"mappings": self._mappings}})
        if asked.method in ("GET", "POST") and rest == ["_search"]:
            try:
                return as_json(self._search(msgspec.json.decode(asked.body)))
            except BadQuery as bad:
                return _error(400, bad.kind, str(bad))
        return _error(405, "method_not_allowed", asked.target)

    def _search(self, body: dict[str, Any]) -> dict[str, Any]:
        if unknown := body.keys() - _OF_A_BODY:
            raise BadQuery("parsing_exception", f"Unknown key for a VALUE in {sorted(unknown)}.")
        scores = self._scores(body["query"])
        ranked = sorted(scores, key=lambda key: (-scores[key], key))
        excluded = (body.get("_source") or {}).get("excludes", [])
        hits = [
            {
                "_index": "help-000001",
                "_id": key,
                "_score": scores[key],
                "_source": {
                    name: value for name, value in self._documents[key].items() if name not in excluded
                },
            }
            for key in ranked[: body.get("size", 10)]
        ]
        return {
            "took": 1,
            "timed_out": False,
            "_shards": {"total": 1, "successful": 1, "skipped": 0, "failed": 0},
            "hits": {
                "total": {"value": len(scores), "relation": "eq"},
                "max_score": hits[0]["_score"] if hits else None,
                "hits": hits,
            },
        }

    def _scores(self, query: Mapping[str, Any]) -> dict[str, float]:
        if len(query) != 1:
            raise BadQuery("parsing_exception", "[query] malformed, must have one field")
        ((kind, of),) = query.items()
        match kind:
            case "multi_match":
                return self._multi_match(of)
            case "term":
                ((field, value),) = of.items()
                return {key: 1.0 for key, each in self._documents.items() if each.get(field) == value}
            case "bool":
                return self._bool(of)
            case "knn":
                return self._knn(of)
        raise BadQuery("parsing_exception", f"unknown query [{kind}]")

    def _bool(self, of: Mapping[str, Any]) -> dict[str, float]:
        should = [self._scores(each) for each in of.get("should", [])]
        kept = set(self._documents)
        for each in of.get("filter", []):
            kept &= self._scores(each).keys()
        least = of.get("minimum_should_match", 0 if of.get("filter") else 1)
        return {
            key: sum(scores.get(key, 0.0) for scores in should)
            for key in kept
            if sum(key in scores for scores in should) >= least
        }

    def _multi_match(self, of: Mapping[str, Any]) -> dict[str, float]:
        if unknown := of.keys() - _OF_MULTI_MATCH:
            raise BadQuery("parsing_exception", f"[multi_match] query does not support {sorted(unknown)}")
        found: defaultdict[str, float] = defaultdict(float)
        for each in of["fields"]:
            field, _, boost = each.partition("^")
            for key, score in self._bm25(field, _WORD.findall(of["query"].lower())).items():
                found[key] += score * float(boost or 1) * of.get("boost", 1.0)
        return dict(found)

    def _bm25(self, field: str, words: Sequence[str]) -> dict[str, float]:
        texts = {
            key: _WORD.findall(str(each.get(field, "")).lower()) for key, each in self._documents.items()
        }
        average = sum(map(len, texts.values())) / len(texts) or 1.0
        scores: defaultdict[str, float] = defaultdict(float)
        for word in words:
            having = {key: text.count(word) for key, text in texts.items() if word in text}
            rarity = math.log(1 + (len(texts) - len(having) + 0.5) / (len(having) + 0.5))
            for key, count in having.items():
                length = 1 - _B + _B * len(texts[key]) / average
                scores[key] += rarity * count / (count + _K1 * length)
        return dict(scores)

    def _knn(self, of: Mapping[str, Any]) -> dict[str, float]:
        ((field, asked),) = of.items()
        if unknown := asked.keys() - _OF_KNN:
            raise BadQuery("parsing_exception", f"[knn] unknown token {sorted(unknown)}")
        if not 1 <= asked["k"] <= 10_000:
            raise BadQuery("illegal_argument_exception", "[knn] requires k to be in the range (0, 10000]")
        mapped = self._mappings["properties"].get(field, {})
        if mapped.get("type") != "knn_vector":
            raise BadQuery("illegal_argument_exception", f"Field '{field}' is not knn_vector type.")
        vector = np.array(asked["vector"], np.float64)
        if len(vector) != mapped["dimension"]:
            raise BadQuery(
                "illegal_argument_exception",
                f"Query vector has invalid dimension: {len(vector)}. Dimension should be: {mapped['dimension']}",
            )
        kept = self._scores(asked["filter"]).keys() if "filter" in asked else self._documents.keys()
        scores = {}
        for key in kept:
            other = np.array(self._documents[key][field], np.float64)
            distance = 1 - vector @ other / (np.linalg.norm(vector) * np.linalg.norm(other))
            scores[key] = float((2 - distance) / 2)
        nearest = sorted(scores, key=lambda key: -scores[key])[: asked["k"]]
        return {key: scores[key] for key in nearest}


def _error(status: int, kind: str, reason: str) -> Answer:
    cause = {"type": kind, "reason": reason}
    return as_json({"error": {"root_cause": [cause], **cause}, "status": status}, status=status)
