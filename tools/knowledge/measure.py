"""
Count how well a search finds what answers questions: nDCG, hits, recall, and whether it knows what it does not know.
"""

import math
import statistics
from collections.abc import Iterable, Sequence

import msgspec

from tools.knowledge.questions import Question

DEPTH = 10


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """A question with the ids that were found, best first, and whether the agent would have answered."""

    question: Question
    found: tuple[str, ...]
    is_answered: bool
    missing: tuple[str, ...] = ()
    """Expected articles that are not there at all."""

    @property
    def ndcg(self) -> float:
        wanted = self.question.article_ids
        gained = _gain(rank for rank, article_id in enumerate(self.found[:DEPTH]) if article_id in wanted)
        return gained / _gain(range(min(DEPTH, len(wanted))))

    @property
    def recall(self) -> float:
        return len({*self.found[:DEPTH]} & {*self.question.article_ids}) / len(self.question.article_ids)

    def hits(self, first: int) -> bool:
        return any(article_id in self.question.article_ids for article_id in self.found[:first])

    @property
    def problem(self) -> str | None:
        """What went wrong, None where nothing did."""
        if not self.question.is_answerable:
            return "answered, though no article does" if self.is_answered else None
        if self.missing:
            return f"not among the articles: {', '.join(self.missing)}"
        ranks = [rank for rank, each in enumerate(self.found, start=1) if each in self.question.article_ids]
        if not ranks:
            return f"not found: {', '.join(self.question.article_ids)}"
        if ranks[0] > 1:
            return f"found in place {ranks[0]}, after {self.found[0]}"
        if not self.is_answered:
            return "found first, but not answered: the agent was not sure enough"
        lost = [each for each in self.question.article_ids if each not in self.found]
        return f"also expected, not found: {', '.join(lost)}" if lost else None


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """Shares from 0 to 1; None where no question of the kind was asked."""

    questions: int
    ndcg_at_10: float | None
    hit_at_1: float | None
    hit_at_5: float | None
    recall_at_10: float | None
    answered_answerable: float | None
    refused_unanswerable: float | None


def figures(measured: Sequence[Measured]) -> Figures:
    answerable = [each for each in measured if each.question.is_answerable]
    others = [each for each in measured if not each.question.is_answerable]
    return Figures(
        questions=len(measured),
        ndcg_at_10=_mean(each.ndcg for each in answerable),
        hit_at_1=_mean(each.hits(1) for each in answerable),
        hit_at_5=_mean(each.hits(5) for each in answerable),
        recall_at_10=_mean(each.recall for each in answerable),
        answered_answerable=_mean(each.is_answered for each in answerable),
        refused_unanswerable=_mean(not each.is_answered for each in others),
    )


def _mean(values: Iterable[float]) -> float | None:
    found = list(values)
    return statistics.fmean(found) if found else None


def _gain(ranks: Iterable[int]) -> float:
    return sum(1 / math.log2(rank + 2) for rank in ranks)
