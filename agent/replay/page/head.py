"""
The part of a report that is read at once: runs, thresholds, measures, plots, what was found.
"""

from collections import Counter
from typing import Any

import numpy as np

from agent.replay.changes import NEUTRAL, TITLES, ChangeKind
from agent.replay.comparison import Comparison
from agent.replay.gate import Judgement
from agent.replay.measures import MEASURES, PERCENTILES, Measure, Outcome, Totals, percentile
from agent.replay.page.shown import FINDINGS, Overview
from agent.replay.results import ReplayResults
from agent.replay.significance import Difference

_BARS = 36
_SHORTEST_MS = 0.1
"""In virtual time an answer takes no time at all where nothing has to be waited for."""
_TIMES = {"latency_ms": "How long customers waited", "real_ms": "How long it took to compute"}


def head(
    new: ReplayResults, base: ReplayResults | None, judgement: Judgement, seen: Overview
) -> dict[str, Any]:
    comparison = judgement.comparison
    before = comparison.base if comparison else None
    return {
        "runs": [_run("now", new), *([_run("before", base)] if base else [])],
        "turns": seen.turns,
        "conversations": len(seen.conversations),
        "passes": judgement.passes,
        "thresholds": [
            {"threshold": each.threshold, "crossed": each.is_crossed, "seen": each.seen}
            for each in judgement.verdicts
        ],
        "measures": _measures(judgement),
        "outcomes": [_outcomes("now", judgement.totals), *([_outcomes("before", before)] if before else [])],
        "times": [
            {"title": title, **plot}
            for name, title in _TIMES.items()
            if (plot := _times(name, judgement.totals, before)) is not None
        ],
        "heat": _heat(seen),
        "titles": TITLES,
        "changes": _changes(judgement),
    }


def _run(name: str, results: ReplayResults) -> dict[str, Any]:
    return {"name": name, "folder": results.path.name, "facts": results.facts}


def _outcomes(name: str, totals: Totals) -> dict[str, Any]:
    return {"name": name, "counts": {each: totals.outcomes[each] for each in Outcome}}


def _measures(judgement: Judgement) -> list[dict[str, Any]]:
    if judgement.comparison is None:
        values = [(measure, judgement.totals.value(measure)) for measure in MEASURES]
        return [{**_named(measure), "now": value} for measure, value in values if value is not None]
    ordered = sorted(judgement.comparison.differences, key=lambda each: not each.is_worse)
    return [_difference(each) for each in ordered]


def _named(measure: Measure) -> dict[str, Any]:
    return {
        "name": measure.name,
        "title": measure.title,
        "isShare": measure.kind == "share",
        "unit": measure.unit,
    }


def _difference(each: Difference) -> dict[str, Any]:
    return {
        **_named(each.measure),
        "before": each.base,
        "now": each.new,
        "low": each.low,
        "high": each.high,
        "verdict": "worse" if each.is_worse else "better" if each.is_better else "",
        "word": each.word,
    }


def _times(name: str, now: Totals, before: Totals | None) -> dict[str, Any] | None:
    """Counts in bins of equal width on a logarithmic scale, the same for both runs; None where nobody waited."""
    everything = np.concatenate([_figures(each, name) for each in (now, before) if each is not None])
    if not everything.size or everything.max() < _SHORTEST_MS:
        return None
    lowest, highest = max(0.1, float(everything.min())), max(0.2, float(everything.max()))
    edges = np.geomspace(lowest, max(highest, lowest * 1.5), _BARS + 1)
    return {
        "edges": [round(float(edge), 3) for edge in edges],
        "runs": [
            {
                "name": run,
                "counts": np.histogram(_figures(each, name).clip(edges[0], edges[-1]), edges)[0].tolist(),
                "percentiles": {
                    label: percentile(each.times[name], share) for label, share in PERCENTILES.items()
                },
            }
            for run, each in (("now", now), ("before", before))
            if each is not None
        ],
    }


def _figures(totals: Totals, name: str) -> "np.ndarray[Any, np.dtype[np.float64]]":
    return np.array(totals.times[name], dtype=np.float64)


def _heat(seen: Overview) -> dict[str, Any]:
    columns = [*Outcome, FINDINGS]
    return {
        "columns": columns,
        "rows": [
            {"fault": fault, "counts": [counts[column] for column in columns]}
            for fault, counts in sorted(seen.heat.items(), key=_gravest_first)
        ],
    }


def _gravest_first(row: tuple[str, Counter[str]]) -> tuple[int, int, str]:
    fault, counts = row
    return -counts[FINDINGS], -counts[Outcome.NOT_ANSWERED], fault


def _changes(judgement: Judgement) -> list[dict[str, Any]]:
    """Each kind with its number of turns and the gravest examples; other words are left to the conversations."""
    kinds = []
    for kind in ChangeKind:
        examples = [each for each in judgement.worst if each.change.kind is kind]
        if not examples or kind in NEUTRAL:
            continue
        kinds.append(
            {
                "kind": kind,
                "turns": _turns_with(kind, judgement.totals, judgement.comparison),
                "examples": [
                    {"cell": each.cell, "id": each.conversation, "n": each.turn, "detail": each.change.detail}
                    for each in examples
                ],
            }
        )
    return kinds


def _turns_with(kind: ChangeKind, totals: Totals, comparison: Comparison | None) -> int:
    if comparison is not None:
        return comparison.worse[kind]
    return (
        int(totals.sum("findings")) if kind is ChangeKind.FINDING else totals.outcomes[Outcome.NOT_ANSWERED]
    )
