"""
Read what a replay left: a folder with `turns.jsonl` and `run.json`, or the cells of a matrix below it.

Rows are read one at a time, so that a run of any length can be looked at.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from agent.replay.plan import Timing
from agent.replay.rows import ReplayedTurn
from core.errors import InvalidInput

ROWS = "turns.jsonl"
FACTS = "run.json"
TIMINGS = "timings.jsonl"
CELLS = "cells"


class TimedTurn(ReplayedTurn, frozen=True, kw_only=True):
    """`real_ms` is how long it really took, where time was virtual; None where nobody noted it."""

    real_ms: float | None = None


class ResultsUnreadable(InvalidInput):
    """The folder holds no results, or broken ones; the message names the file and, where there is one, the line."""


@dataclass(frozen=True, slots=True)
class ResultFolder:
    """`cell` names the cell of a matrix, and is empty for a run by itself. `facts` are those of `run.json`."""

    path: Path
    cell: str = ""
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def rows(self) -> Path:
        return self.path / ROWS

    def turns(self) -> Iterator[TimedTurn]:
        for _, turn in self.placed_turns():
            yield turn

    def placed_turns(self) -> Iterator[tuple[int, TimedTurn]]:
        """
        Each turn with the byte at which its line begins.

        Raises:
            ResultsUnreadable: at the first broken line.
        """
        decoder = msgspec.json.Decoder(TimedTurn)
        offset = 0
        with self.rows.open("rb") as file, self._timings() as real:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    try:
                        turn = decoder.decode(line)
                    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
                        raise ResultsUnreadable(f"{self.rows}, line {number}: {exc}") from exc
                    timing = next(real, None)
                    yield offset, turn if timing is None else timed(turn, timing.real_ms)
                offset += len(line)

    @contextmanager
    def _timings(self) -> Iterator[Iterator[Timing]]:
        """In the order of the rows; nothing where there are none."""
        path = self.path / TIMINGS
        if not path.is_file():
            yield iter(())
            return
        decoder = msgspec.json.Decoder(Timing)
        with path.open("rb") as file:
            yield (decoder.decode(line) for line in file)


def timed(turn: TimedTurn, real_ms: float) -> TimedTurn:
    return msgspec.structs.replace(turn, real_ms=real_ms)


@dataclass(frozen=True, slots=True)
class ReplayResults:
    """What one call of `careline replay` left; a matrix has several folders, each with a cell of its own."""

    path: Path
    folders: tuple[ResultFolder, ...]

    @property
    def is_matrix(self) -> bool:
        return bool(self.folders[0].cell)

    @property
    def facts(self) -> dict[str, Any]:
        """Those of the run, of a matrix those of its first cell but for the faults."""
        first = self.folders[0]
        return {
            name: value for name, value in first.facts.items() if not (self.is_matrix and name == "faults")
        }

    def turns(self) -> Iterator[tuple[str, TimedTurn]]:
        """Every turn with its cell."""
        for folder in self.folders:
            for turn in folder.turns():
                yield folder.cell, turn


def read_results(path: Path) -> ReplayResults:
    """
    The results in `path`, without their rows.

    Raises:
        ResultsUnreadable: there are none.
    """
    if (path / ROWS).is_file():
        return ReplayResults(path, (ResultFolder(path, facts=_facts(path)),))
    cells = sorted(rows.parent for rows in (path / CELLS).glob(f"*/{ROWS}"))
    if not cells:
        raise ResultsUnreadable(f"{path}: there is neither {ROWS} in it nor {CELLS}/*/{ROWS}")
    return ReplayResults(
        path, tuple(ResultFolder(each, cell=each.name, facts=_facts(each)) for each in cells)
    )


def _facts(path: Path) -> dict[str, Any]:
    file = path / FACTS
    if not file.is_file():
        return {}
    try:
        return msgspec.json.decode(file.read_bytes(), type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise ResultsUnreadable(f"{file}: {exc}") from exc
