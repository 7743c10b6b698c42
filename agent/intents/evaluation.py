"""
Judge a trained reader on texts whose intents are known, and choose the threshold that serves both sides best.

Scores are compared with nothing but one another: who trained, and on what, is known to `agent.intents.training`.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import numpy as np

_SHOWN_CONFUSIONS = 20
_LOST_WITHOUT_OTHERS = 0.05
"""Share of right readings that the threshold may cost where no text is known that belongs to no intent."""


@dataclass(frozen=True, slots=True)
class Judged:
    """`expected` is None for what belongs to no intent; `best` reached `score`."""

    text: str
    expected: str | None
    best: str
    score: float

    @property
    def is_right(self) -> bool:
        return self.best == self.expected


class IntentFigures(msgspec.Struct, frozen=True):
    intent: str
    examples: int
    precision: float
    recall: float


class Confusion(msgspec.Struct, frozen=True):
    """`read` is None where the threshold kept the text from being read at all, `expected` where it is none of the intents."""

    expected: str | None
    read: str | None
    times: int
    example: str


class Report(msgspec.Struct, frozen=True):
    """
    Shares between 0 and 1. `accuracy` is without the threshold; `in_scope` is read rightly and above it; `out_of_scope_recall` is
    the share of what belongs to no intent that is not read, None where there is nothing of the kind.
    """

    threshold: float
    texts: int
    accuracy: float
    in_scope: float
    out_of_scope_texts: int
    out_of_scope_recall: float | None
    intents: tuple[IntentFigures, ...]
    confusions: tuple[Confusion, ...]


def choose_threshold(judged: Sequence[Judged]) -> float:
    """
    Where the share of the texts that are read rightly and the share of the others that are not read have the greatest sum.

    Of those that are worse by less than half a text, the middle is taken: the very best is often chance. Without
    others, where a twentieth of the right readings is lost.
    """
    right = np.sort([one.score for one in judged if one.expected is not None and one.is_right])
    others = np.sort([one.score for one in judged if one.expected is None])
    within = sum(one.expected is not None for one in judged)
    if not len(right):
        return 1.0
    if not len(others):
        return float(np.quantile(right, _LOST_WITHOUT_OTHERS))
    scores = np.unique(np.concatenate([right, others, [0.0, 1.0]]))
    tried = (scores[1:] + scores[:-1]) / 2
    kept = (len(right) - np.searchsorted(right, tried)) / within
    refused = np.searchsorted(others, tried) / len(others)
    worth = kept + refused
    good = tried[worth > worth.max() - 0.5 / min(within, len(others))]
    return float(np.sort(good)[len(good) // 2])


def figures(judged: Sequence[Judged], threshold: float) -> dict[str, float]:
    """The three that a trained file keeps, of what was held out."""
    made = report(judged, threshold)
    found = {"accuracy": made.accuracy, "in_scope": made.in_scope}
    if made.out_of_scope_recall is not None:
        found["out_of_scope_recall"] = made.out_of_scope_recall
    return found


def report(judged: Sequence[Judged], threshold: float) -> Report:
    within = [one for one in judged if one.expected is not None]
    others = [one for one in judged if one.expected is None]
    read = {True: Counter[str](), False: Counter[str]()}
    wrong: dict[tuple[str | None, str | None], list[str]] = {}
    for one in judged:
        is_read = one.score >= threshold
        if is_read:
            read[one.is_right][one.best] += 1
        if is_read != (one.expected is not None) or (is_read and not one.is_right):
            wrong.setdefault((one.expected, one.best if is_read else None), []).append(one.text)
    counts = Counter(one.expected for one in within if one.expected is not None)
    confusions = sorted(wrong.items(), key=lambda each: -len(each[1]))[:_SHOWN_CONFUSIONS]
    return Report(
        threshold=threshold,
        texts=len(within),
        accuracy=_share(sum(one.is_right for one in within), len(within)),
        in_scope=_share(sum(read[True].values()), len(within)),
        out_of_scope_texts=len(others),
        out_of_scope_recall=_share(sum(one.score < threshold for one in others), len(others))
        if others
        else None,
        intents=tuple(
            IntentFigures(
                name,
                count,
                precision=_share(read[True][name], read[True][name] + read[False][name]),
                recall=_share(read[True][name], count),
            )
            for name, count in sorted(counts.items())
        ),
        confusions=tuple(
            Confusion(expected, found, len(texts), texts[0]) for (expected, found), texts in confusions
        ),
    )


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0
