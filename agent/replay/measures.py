"""
What a replayed turn is measured by, and the totals of a run in each measure.
"""

from array import array
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

import numpy as np

from agent.replay.results import TimedTurn
from agent.replay.rows import ReplayedTurn
from core.messages import ActionStatus, TurnStatus


class Outcome(StrEnum):
    """What the customer got; of several, the last here that fits."""

    ANSWERED = "answered"
    DEGRADED = "degraded"
    HANDED_OVER = "handed over"
    NOT_ANSWERED = "not answered"


def outcome(turn: ReplayedTurn) -> Outcome:
    if turn.error is not None:
        return Outcome.NOT_ANSWERED
    if is_handed_over(turn):
        return Outcome.HANDED_OVER
    return Outcome.DEGRADED if turn.degraded else Outcome.ANSWERED


def is_handed_over(turn: ReplayedTurn) -> bool:
    return turn.handed_over or turn.status == TurnStatus.HANDED_OVER


@dataclass(frozen=True, slots=True)
class Measure:
    """
    `of` is None for a turn that has no such figure (a latency without an answer).

    A difference is called worse only from `least_change` of the base's value on: what is measured by the clock is never quite
    the same twice.
    """

    name: str
    title: str
    kind: Literal["share", "mean", "percentile"]
    more_is_better: bool
    of: Callable[[TimedTurn], float | None]
    unit: str = ""
    least_change: float = 0.0
    percentile: float = 0.0
    words: tuple[str, str] = ("worse", "better")


def _latency(turn: TimedTurn) -> float | None:
    return turn.latency_ms if turn.error is None else None


def _failed_tools(turn: TimedTurn) -> int:
    return sum(tool.status in (ActionStatus.FAILED, ActionStatus.UNKNOWN) for tool in turn.tools)


_LEAST_LATENCY_CHANGE = 0.1
_LEAST_COMPUTING_CHANGE = 0.25
"""Of one version on two machines, or on one that is busy now and then, it differs by less."""

_BY_THE_CLOCK = ("slower", "faster")

MEASURES: tuple[Measure, ...] = (
    Measure("answered", "answered", "share", True, lambda turn: turn.error is None),
    Measure("findings", "with findings", "share", False, lambda turn: bool(turn.findings)),
    Measure("cited", "with citations", "share", True, lambda turn: bool(turn.citations)),
    Measure("tool_failures", "failed tool calls", "mean", False, _failed_tools, unit="a turn"),
    Measure("degraded", "degraded", "share", False, lambda turn: bool(turn.degraded)),
    Measure("handed_over", "handed over", "share", False, is_handed_over),
    Measure("overlap", "word overlap with the recording", "mean", True, lambda turn: turn.overlap),
    Measure(
        *("latency_ms", "latency, mean", "mean", False, _latency),
        unit="ms",
        least_change=_LEAST_LATENCY_CHANGE,
        words=_BY_THE_CLOCK,
    ),
    Measure(
        *("p95_ms", "latency, 95th percentile", "percentile", False, _latency),
        unit="ms",
        least_change=_LEAST_LATENCY_CHANGE,
        percentile=0.95,
        words=_BY_THE_CLOCK,
    ),
    Measure(
        *("real_ms", "computing time, mean", "mean", False, lambda turn: turn.real_ms),
        unit="ms",
        least_change=_LEAST_COMPUTING_CHANGE,
        words=_BY_THE_CLOCK,
    ),
    Measure("tokens", "tokens of language models", "mean", False, lambda turn: turn.tokens, unit="a turn"),
)
AVERAGED = tuple(measure for measure in MEASURES if measure.kind != "percentile")
PERCENTILES = {"p50_ms": 0.5, "p95_ms": 0.95, "p99_ms": 0.99, "max_ms": 1.0}


class Totals:
    """
    Of one run. Keeps eight bytes a turn (`times`, in milliseconds), and nothing else that grows with the turns.

    `findings` counts, by rule, the turns that have one.
    """

    def __init__(self) -> None:
        self.turns = 0
        self.findings: Counter[str] = Counter()
        self.outcomes: Counter[Outcome] = Counter()
        self.conversations = 0
        self.times = {"latency_ms": array("f"), "real_ms": array("f")}
        self._sums = dict.fromkeys((measure.name for measure in AVERAGED), 0.0)
        self._counts = dict.fromkeys((measure.name for measure in AVERAGED), 0)

    def add(self, turn: TimedTurn) -> None:
        self.turns += 1
        self.conversations += turn.turn == 1
        self.outcomes[outcome(turn)] += 1
        self.findings.update({finding.rule for finding in turn.findings})
        for name, value in (("latency_ms", _latency(turn)), ("real_ms", turn.real_ms)):
            if value is not None:
                self.times[name].append(value)
        for measure in AVERAGED:
            value = measure.of(turn)
            if value is not None:
                self._sums[measure.name] += value
                self._counts[measure.name] += 1

    def sum(self, name: str) -> float:
        """Of a share: how many turns; of a mean: all turns together."""
        return self._sums[name]

    def mean(self, name: str) -> float | None:
        """None where no turn has such a figure."""
        return self._sums[name] / self._counts[name] if self._counts[name] else None

    def latency(self, share: float) -> float | None:
        return percentile(self.times["latency_ms"], share)

    def value(self, measure: Measure) -> float | None:
        return self.latency(measure.percentile) if measure.kind == "percentile" else self.mean(measure.name)


def totals_of(turns: Iterable[TimedTurn]) -> Totals:
    totals = Totals()
    for turn in turns:
        totals.add(turn)
    return totals


def percentile(values: "array[float]", share: float) -> float | None:
    """Nearest rank; None of nothing."""
    if not values:
        return None
    rank = max(0, int(np.ceil(share * len(values))) - 1)
    return float(np.partition(np.frombuffer(values, dtype=np.float32), rank)[rank])
