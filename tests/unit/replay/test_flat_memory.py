"""Comparing and reporting hold numbers of a turn, and not its texts."""

import tracemalloc
from pathlib import Path

from agent.replay.gate import judged, judged_turns
from agent.replay.junit import write_junit
from agent.replay.page import write_report
from agent.replay.results import ReplayResults
from agent.replay.thresholds import read_thresholds
from tests.replays import turn, write_run

_TURNS = 600


def peak_bytes(folder: Path, new: ReplayResults, base: ReplayResults) -> int:
    tracemalloc.start()
    try:
        judgement = judged(new, base, read_thresholds(["worse:any"], has_base=True), seed=1)
        write_junit(folder / "junit.xml", judgement.verdicts, judged_turns(new, base))
        write_report(folder / "report.html", new, base, judgement, most_turns=20)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_does_not_grow_with_what_was_said(tmp_path: Path) -> None:
    peaks = []
    for name, letters in (("short", 10), ("long", 20_000)):
        runs = [
            write_run(
                tmp_path / name / side,
                (turn(f"c{number}", reply=side * letters) for number in range(_TURNS)),
            )
            for side in ("base", "new")
        ]
        peaks.append(peak_bytes(tmp_path, runs[1], runs[0]))

    assert (tmp_path / "long" / "new" / "turns.jsonl").stat().st_size > 30_000_000
    assert peaks[1] - peaks[0] < 10_000_000
