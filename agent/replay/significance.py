"""
Say whether two runs of the same conversations differ by more than the choice of conversations explains.

A paired bootstrap (Efron & Tibshirani 1993) over conversations: turns of one conversation hang together, so a conversation is
drawn as a whole, with its turns of both runs. The statistic is the new run's figure less the base's over all drawn turns; its
interval runs between percentiles of the resamples, expanded for few conversations (Hesterberg 2015, "What Teachers Should Know
About the Bootstrap", 5.3). BCa was tried: with heavy-tailed latencies of 40 conversations it missed the truth in 11 % of runs
instead of 5 %, the expanded percentiles in 6 %. A difference counts as beyond chance when the interval at 1 - 5 %/measures
(Bonferroni) leaves out zero. The same data and seed give the same intervals.
"""

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from agent.replay.measures import AVERAGED, MEASURES, Measure
from agent.replay.results import TimedTurn

FEWEST_CONVERSATIONS = 8
"""Below, resampling says too little of other conversations."""
_RESAMPLES = 5_000
_FEWEST_RESAMPLES = 1_000
_BATCH = 50
_MOST_PERCENTILE_WORK = 500_000_000
"""Sorted latencies times resamples: some seconds."""
_SHOWN_LEVEL = 0.95
_ERRORS_IN_ALL = 0.05

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Difference:
    """`low` and `high` bound `new - base` with 95 %; None where there are too few conversations to say."""

    measure: Measure
    base: float
    new: float
    low: float | None = None
    high: float | None = None
    is_beyond_chance: bool = False

    @property
    def change(self) -> float:
        return self.new - self.base

    @property
    def is_worse(self) -> bool:
        """For the customer or the bill, beyond chance, and by enough to matter."""
        is_bad = self.change < 0 if self.measure.more_is_better else self.change > 0
        return is_bad and self._counts

    @property
    def is_better(self) -> bool:
        is_good = self.change > 0 if self.measure.more_is_better else self.change < 0
        return is_good and self._counts

    @property
    def word(self) -> str:
        """Empty where nothing can be said."""
        worse, better = self.measure.words
        return worse if self.is_worse else better if self.is_better else ""

    @property
    def _counts(self) -> bool:
        return self.is_beyond_chance and abs(self.change) >= self.measure.least_change * abs(self.base)


class PairedTurns:
    """Gathers pairs; keeps a few numbers a conversation, and of each turn its two latencies."""

    def __init__(self) -> None:
        self._places: dict[str, int] = {}
        self._base_sums = [array("d") for _ in AVERAGED]
        self._new_sums = [array("d") for _ in AVERAGED]
        self._counts = [array("d") for _ in AVERAGED]
        self._latency_places = array("q")
        self._base_latencies = array("f")
        self._new_latencies = array("f")

    def add(self, base: TimedTurn, new: TimedTurn) -> None:
        place = self._places.setdefault(base.conversation, len(self._places))
        if place == len(self._counts[0]):
            for column in (*self._base_sums, *self._new_sums, *self._counts):
                column.append(0.0)
        for number, measure in enumerate(AVERAGED):
            before, now = measure.of(base), measure.of(new)
            if before is not None and now is not None:
                self._base_sums[number][place] += before
                self._new_sums[number][place] += now
                self._counts[number][place] += 1
        if base.error is None and new.error is None:
            self._latency_places.append(place)
            self._base_latencies.append(base.latency_ms)
            self._new_latencies.append(new.latency_ms)

    def differences(self, *, seed: int) -> tuple[Difference, ...]:
        """In the order of `MEASURES`, of those that any pair has."""
        if not self._places:
            return ()
        means = _Means(self._base_sums, self._new_sums, self._counts)
        latencies = _Latencies(self._latency_places, self._base_latencies, self._new_latencies)
        compared = [
            measure
            for measure in MEASURES
            if (latencies.are_there if measure.kind == "percentile" else means.has(AVERAGED.index(measure)))
        ]
        if len(self._places) < FEWEST_CONVERSATIONS:
            return tuple(Difference(measure, *_figures(measure, means, latencies)) for measure in compared)
        drawn = _draw(
            len(self._places), means, latencies, [m for m in compared if m.kind == "percentile"], seed
        )
        strict = 1 - _ERRORS_IN_ALL / len(compared)
        return tuple(
            _judged(
                measure, means, latencies, drawn[measure.name], conversations=len(self._places), strict=strict
            )
            for measure in compared
        )


class _Means:
    """Sums a conversation: one row a measure."""

    def __init__(
        self, base: Sequence["array[float]"], new: Sequence["array[float]"], counts: Sequence["array[float]"]
    ) -> None:
        self.base = np.array(base)
        self.new = np.array(new)
        self.counts = np.array(counts)

    def has(self, number: int) -> bool:
        return bool(self.counts[number].any())

    def figures(self, number: int) -> tuple[float, float]:
        count = self.counts[number].sum()
        return float(self.base[number].sum() / count), float(self.new[number].sum() / count)

    def resampled(self, weights: Floats) -> Floats:
        """A row of differences a measure, a column a resample; NaN where a resample has no such turn."""
        with np.errstate(invalid="ignore"):
            return np.asarray(((self.new - self.base) @ weights.T) / (self.counts @ weights.T))


class _Latencies:
    """Sorted once; a resample is a weight for each conversation, so that its percentile is a place in a running sum."""

    def __init__(self, places: "array[int]", base: "array[float]", new: "array[float]") -> None:
        self._sides = [_sorted_side(places, base), _sorted_side(places, new)]
        self.turns = len(places)

    @property
    def are_there(self) -> bool:
        return self.turns > 0

    def figures(self, share: float) -> tuple[float, float]:
        rank = max(0, int(np.ceil(share * self.turns)) - 1)
        base, new = (float(values[rank]) for values, _ in self._sides)
        return base, new

    def resampled(self, weights: Floats, share: float) -> Floats:
        """A difference a resample."""
        base, new = (
            np.array([_weighted_percentile(values, weight[places], share) for weight in weights])
            for values, places in self._sides
        )
        return np.asarray(new - base)


def _sorted_side(places: "array[int]", values: "array[float]") -> tuple[Floats, Counts]:
    figures = np.array(values, dtype=np.float64)
    order = np.argsort(figures, kind="stable")
    return figures[order], np.array(places, dtype=np.int64)[order]


def _weighted_percentile(values: Floats, weights: Floats, share: float) -> float:
    running = np.cumsum(weights)
    if running[-1] == 0:
        return float("nan")
    return float(values[np.searchsorted(running, share * running[-1])])


def _draw(
    conversations: int, means: _Means, latencies: _Latencies, percentiles: Sequence[Measure], seed: int
) -> dict[str, Floats]:
    """The resampled differences of each measure. Percentiles of very long runs are resampled less often."""
    chance = np.random.default_rng(seed)
    often_enough = max(_FEWEST_RESAMPLES, min(_RESAMPLES, _MOST_PERCENTILE_WORK // max(1, latencies.turns)))
    averaged: list[Floats] = []
    ranked: dict[str, list[Floats]] = {measure.name: [] for measure in percentiles}
    for begun in range(0, _RESAMPLES, _BATCH):
        weights = np.stack(
            [
                np.bincount(chance.integers(0, conversations, conversations), minlength=conversations)
                for _ in range(_BATCH)
            ]
        ).astype(np.float64)
        averaged.append(means.resampled(weights))
        if begun < often_enough:
            for measure in percentiles:
                ranked[measure.name].append(latencies.resampled(weights, measure.percentile))
    rows = np.concatenate(averaged, axis=1)
    return {
        **{measure.name: rows[number] for number, measure in enumerate(AVERAGED)},
        **{name: np.concatenate(pieces) for name, pieces in ranked.items()},
    }


def _figures(measure: Measure, means: _Means, latencies: _Latencies) -> tuple[float, float]:
    if measure.kind == "percentile":
        return latencies.figures(measure.percentile)
    return means.figures(AVERAGED.index(measure))


def _judged(
    measure: Measure,
    means: _Means,
    latencies: _Latencies,
    drawn: Floats,
    *,
    conversations: int,
    strict: float,
) -> Difference:
    base, new = _figures(measure, means, latencies)
    drawn = drawn[~np.isnan(drawn)]
    low, high = _interval(drawn, conversations, level=_SHOWN_LEVEL)
    strict_low, strict_high = _interval(drawn, conversations, level=strict)
    return Difference(
        measure, base, new, low=low, high=high, is_beyond_chance=strict_low > 0 or strict_high < 0
    )


def _interval(drawn: Floats, conversations: int, *, level: float) -> tuple[float, float]:
    """Percentiles so far out that a mean of so few would have Student's interval; t after Cornish and Fisher."""
    normal = NormalDist()
    z = normal.inv_cdf((1 + level) / 2)
    t = z + (z**3 + z) / (4 * (conversations - 1))
    tail = normal.cdf(-t * (conversations / (conversations - 1)) ** 0.5)
    low, high = np.quantile(drawn, [tail, 1 - tail])
    return float(low), float(high)
