"""
Decide whether what was found answers the question, from features that mean the same for every question.

Scores of the search's fusion are not among them: they order the results of one search and say nothing across
two.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum

from agent.brain.words import content_words
from core.explanation import note
from core.records import Passage


class Verdict(StrEnum):
    ANSWERS = "answers"
    PERHAPS = "perhaps"
    MAY_ANSWER = "may_answer"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Judgement:
    """`titles` are the articles that may be meant, likeliest first."""

    verdict: Verdict
    titles: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Features:
    """
    Of the best article. `cosine` is None where the search had no vectors; `lexical` is the search's share of
    the query's weighted words; `coverage` and `in_title` are shares of the question's content words, found at
    all and found in the title.
    """

    cosine: float | None
    lexical: float
    coverage: float
    in_title: float


@dataclass(frozen=True, slots=True, kw_only=True)
class _Model:
    """A logistic regression and its thresholds, from the best verdict down."""

    weights: Mapping[str, float]
    bias: float
    answers: float
    perhaps: float
    may_answer: float

    def probability(self, features: Features) -> float:
        score = self.bias + sum(
            weight * (getattr(features, name) or 0.0) for name, weight in self.weights.items()
        )
        return 1 / (1 + math.exp(-score))

    def verdict(self, probability: float) -> Verdict:
        if probability >= self.answers:
            return Verdict.ANSWERS
        if probability >= self.perhaps:
            return Verdict.PERHAPS
        return Verdict.MAY_ANSWER if probability >= self.may_answer else Verdict.UNKNOWN


# `python -m bench.answers --fit` prints such weights. These are fitted on the first 70 questions of
# bench/arduino_development.jsonl (46 that the articles answer, 24 that they do not) and 400 of CLINC150 and
# Banking77, which they do not answer either; never on the 70 questions of the benchmark. In ten folds the AUROC over the
# development questions is .94 with vectors and .85 without. `perhaps` is the least threshold that still refuses 80 % of
# the unanswerable development questions.
_WITH_VECTORS = _Model(
    weights={"cosine": 14.0, "coverage": 1.7}, bias=-6.85, answers=0.5, perhaps=0.3, may_answer=0.15
)
_WITHOUT_VECTORS = _Model(
    weights={"lexical": 3.7, "coverage": 1.7, "in_title": 3.25},
    bias=-2.9,
    answers=0.65,
    perhaps=0.5,
    may_answer=0.3,
)

_MOST_TITLES = 3


def judge(question: str, passages: Sequence[Passage], *, earlier: str = "") -> Judgement:
    """`earlier` is what a question leans on; both together must be covered."""
    if not passages:
        return Judgement(Verdict.UNKNOWN, ())
    features = features_of(f"{question} {earlier}", passages[0])
    model = _model_of(features)
    titles = tuple(dict.fromkeys(passage.title for passage in passages))[:_MOST_TITLES]
    probability = model.probability(features)
    verdict = model.verdict(probability)
    note(
        "judged",
        verdict=verdict.value,
        probability=round(probability, 3),
        answers_from=model.answers,
        features={
            name: None if value is None else round(value, 3) for name, value in asdict(features).items()
        },
        article=passages[0].article_id,
    )
    return Judgement(verdict, titles)


def features_of(question: str, best: Passage) -> Features:
    asked = content_words(question)
    title = set(content_words(best.title))
    found = title | set(content_words(f"{best.heading} {best.text}"))
    return Features(
        cosine=best.cosine,
        lexical=best.lexical,
        coverage=sum(word in found for word in asked) / max(1, len(asked)),
        in_title=sum(word in title for word in asked) / max(1, len(asked)),
    )


def probability_of_answer(features: Features) -> float:
    """That the best article answers the question."""
    return _model_of(features).probability(features)


def _model_of(features: Features) -> _Model:
    return _WITHOUT_VECTORS if features.cosine is None else _WITH_VECTORS
