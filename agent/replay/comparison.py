"""
Compare two runs turn by turn: what got worse, what better, and whether the measures moved beyond chance.

Memory does not grow with the texts: a few numbers a turn and a conversation (`pairing`, `significance`), and some examples.
"""

import heapq
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from agent.replay.changes import Change, ChangeKind, changes, improvements
from agent.replay.measures import Totals
from agent.replay.pairing import pairs, unpaired_cells
from agent.replay.results import ReplayResults, TimedTurn
from agent.replay.significance import Difference, PairedTurns

_EXAMPLES = 50


@dataclass(frozen=True, slots=True)
class ChangedTurn:
    """One change, where it happened."""

    cell: str
    conversation: str
    turn: int
    change: Change


@dataclass(slots=True)
class Comparison:
    """`worse` and `better` count turns by kind; `worst` holds up to 50 examples of each kind, the gravest kind first."""

    base: Totals
    new: Totals
    pairs: int = 0
    added: int = 0
    worse: Counter[ChangeKind] = field(default_factory=Counter)
    better: Counter[ChangeKind] = field(default_factory=Counter)
    worst: tuple[ChangedTurn, ...] = ()
    differences: tuple[Difference, ...] = ()
    unpaired_cells: tuple[str, ...] = ()


def compare(base: ReplayResults, new: ReplayResults, *, seed: int) -> Comparison:
    """
    Raises:
        ResultsUnreadable: a row of either is broken.
    """
    found = Comparison(Totals(), Totals(), unpaired_cells=unpaired_cells(base, new))
    paired = PairedTurns()
    worst = GravestChanges()
    for cell, before, now in pairs(base, new):
        if before is not None:
            found.base.add(before)
        if now is not None:
            found.new.add(now)
        if before is not None and now is not None:
            found.pairs += 1
            paired.add(before, now)
        elif now is not None:
            found.added += 1
        got_worse = changes(before, now)
        found.worse.update({change.kind for change in got_worse})
        if before is not None and now is not None:
            found.better.update(improvements(before, now, got_worse))
        turn = now or before
        if turn is not None:
            worst.add(cell, turn, got_worse)
    found.differences = paired.differences(seed=seed)
    found.worst = worst.ordered()
    return found


class GravestChanges:
    """The greatest 50 changes of each kind; of equal ones, the first."""

    def __init__(self) -> None:
        self._kept: dict[ChangeKind, list[tuple[float, int, ChangedTurn]]] = {kind: [] for kind in ChangeKind}
        self._seen = 0

    def add(self, cell: str, turn: TimedTurn, found: Iterable[Change]) -> None:
        for change in found:
            self._seen += 1
            entry = (change.size, -self._seen, ChangedTurn(cell, turn.conversation, turn.turn, change))
            kept = self._kept[change.kind]
            if len(kept) < _EXAMPLES:
                heapq.heappush(kept, entry)
            else:
                heapq.heappushpop(kept, entry)

    def ordered(self) -> tuple[ChangedTurn, ...]:
        """The gravest kind first."""
        return tuple(turn for kind in ChangeKind for *_, turn in sorted(self._kept[kind], reverse=True))
