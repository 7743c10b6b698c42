"""
Hold a run, or a run against an earlier one, to its thresholds.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from agent.replay.changes import Change, changes, shortcomings
from agent.replay.comparison import ChangedTurn, Comparison, GravestChanges, compare
from agent.replay.measures import Totals
from agent.replay.pairing import pairs
from agent.replay.results import ReplayResults, TimedTurn
from agent.replay.thresholds import Seen, Threshold, Verdict


@dataclass(frozen=True, slots=True)
class Judgement:
    """`worst` are examples, the gravest first; `comparison` is None of a run by itself."""

    totals: Totals
    verdicts: tuple[Verdict, ...]
    worst: tuple[ChangedTurn, ...]
    comparison: Comparison | None = None

    @property
    def passes(self) -> bool:
        return not any(verdict.is_crossed for verdict in self.verdicts)


def judged(
    new: ReplayResults, base: ReplayResults | None, thresholds: Sequence[Threshold], *, seed: int
) -> Judgement:
    """
    Raises:
        ResultsUnreadable: a row is broken.
    """
    if base is None:
        totals, worst = Totals(), GravestChanges()
        for cell, turn in new.turns():
            totals.add(turn)
            worst.add(cell, turn, shortcomings(turn))
        return Judgement(totals, _verdicts(Seen(totals), thresholds), worst.ordered())
    comparison = compare(base, new, seed=seed)
    verdicts = _verdicts(Seen(comparison.new, comparison), thresholds)
    return Judgement(comparison.new, verdicts, comparison.worst, comparison)


def _verdicts(seen: Seen, thresholds: Sequence[Threshold]) -> tuple[Verdict, ...]:
    return tuple(threshold.judge(seen) for threshold in thresholds)


def judged_turns(
    new: ReplayResults, base: ReplayResults | None
) -> Iterator[tuple[str, TimedTurn, tuple[Change, ...]]]:
    """Every turn again, with its cell and what is wrong with it; of a turn that is missing, the earlier run's."""
    if base is None:
        for cell, turn in new.turns():
            yield cell, turn, shortcomings(turn)
        return
    for cell, before, now in pairs(base, new):
        known = now or before
        if known is not None:
            yield cell, known, changes(before, now)
