"""
What a row of the table came to: figures, bounds that hold or do not, and violations of what must always hold.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random

_SHARE_OF_LEAST = 0.7
_TIMES_MOST = 2.0


@dataclass(frozen=True)
class Bound:
    """`value` may be `limit` at most, or must be at least that."""

    name: str
    value: float
    limit: float
    is_least: bool = False
    unit: str = ""

    @property
    def is_time(self) -> bool:
        """A figure of the machine too, and of who else uses it."""
        return self.unit.strip() in ("s", "ms", "of peak")

    @property
    def holds(self) -> bool:
        return self.value >= self.limit if self.is_least else self.value <= self.limit

    @property
    def is_far_off(self) -> bool:
        """Missed by more than a machine with other loads on it explains."""
        return (
            self.value < self.limit * _SHARE_OF_LEAST
            if self.is_least
            else self.value > self.limit * _TIMES_MOST
        )

    def __str__(self) -> str:
        sign = "≥" if self.is_least else "≤"
        return f"{'ok ' if self.holds else 'NOT'} {self.name} {self.value:.4g}{self.unit} ({sign} {self.limit:.4g}{self.unit})"


@dataclass
class Run:
    """One run of one row. `is_short` is the form for CI; `without` names what is left out of the protocol."""

    row: str
    seed: int
    is_short: bool = False
    without: str | None = None
    figures: dict[str, float | int | str] = field(default_factory=dict)
    bounds: list[Bound] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.chance = Random(f"{self.row} {self.seed}")

    @property
    def patience_seconds(self) -> float:
        """
        How long customers and judge wait at the end: longer than the minute for which a replica that died holds what it has
        claimed of the outbox, and a slow machine may need as long again. A broken protocol need not be waited for.
        """
        return 10.0 if self.without else 180.0

    def times(self, long: int, short: int) -> int:
        """How often a fault comes: more often where a part is left out, which shows only where a fault meets it."""
        if not self.is_short:
            return long
        return min(3 * short, long) if self.without else short

    def at_most(self, name: str, value: float, limit: float, unit: str = "") -> None:
        self.bounds.append(Bound(name, value, limit, unit=unit))

    def at_least(self, name: str, value: float, limit: float, unit: str = "") -> None:
        self.bounds.append(Bound(name, value, limit, is_least=True, unit=unit))

    @property
    def passed(self) -> bool:
        return not self.violations and all(bound.holds for bound in self.bounds)


def quantile(values: Sequence[float], share: float) -> float:
    """The smallest value that `share` of all do not exceed; 0 for none."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else 0.0
