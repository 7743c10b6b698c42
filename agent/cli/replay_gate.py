"""
`careline replay-compare` and `careline replay-report`, and what `careline replay` ends with: thresholds, JUnit XML, GitHub's
annotations, the report.
"""

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from agent.cli.common import USAGE_ERROR, fail, out
from agent.cli.replay_verdicts import print_comparison, print_verdicts, print_worst
from agent.replay.annotations import annotations, job_summary, log_places
from agent.replay.gate import Judgement, judged, judged_turns
from agent.replay.junit import write_junit
from agent.replay.page import write_report
from agent.replay.results import ResultsUnreadable, read_results
from agent.replay.thresholds import (
    OF_A_MATRIX,
    OF_A_RUN,
    OF_TWO_RUNS,
    Threshold,
    ThresholdUnreadable,
    read_thresholds,
)

_MOST_TURNS = 10_000
_SUMMARY_VARIABLE = "GITHUB_STEP_SUMMARY"
_FOLDER_STEP = "Name folders that careline replay wrote; a killed replay is finished with --resume."

FailOn = Annotated[
    list[str] | None,
    typer.Option(
        "--fail-on",
        metavar="THRESHOLD",
        help="End with exit code 1 where it is crossed, e.g. 'findings>0', 'answered<99.5%'; may be repeated.",
    ),
]
JUnitFile = Annotated[Path | None, typer.Option("--junit", help="Write JUnit XML to this file.")]
GitHub = Annotated[
    bool, typer.Option("--github", help="Print annotations for GitHub Actions, and add to the job's summary.")
]
ReportFile = Annotated[
    Path | None, typer.Option("--report", help="Write the report, one HTML file, to this file.")
]
Logs = Annotated[
    list[Path] | None,
    typer.Option("--log", help="Recorded log (Careline JSONL) at whose lines --github shows what got worse."),
]
MostTurns = Annotated[
    int, typer.Option(min=1, help="Turns that the report shows; those with findings first.")
]
Seed = Annotated[int, typer.Option(min=0, help="Of the bootstrap: the same seed, the same intervals.")]


def replay_compare(
    base: Annotated[Path, typer.Argument(metavar="BASE", help="Folder of the earlier replay.")],
    new: Annotated[Path, typer.Argument(metavar="NEW", help="Folder of the replay to be judged.")],
    fail_on: FailOn = None,
    junit: JUnitFile = None,
    github: GitHub = False,
    report: ReportFile = None,
    logs: Logs = None,
    most_turns: MostTurns = _MOST_TURNS,
    seed: Seed = 0,
) -> None:
    """
    Say what got worse from one replay to another, the worst first: findings, answers, citations, tools, latency, tokens.

    Exit code 1 when a threshold is crossed. Without --fail-on those are: a new finding, an answer or a turn that is missing, a
    lost citation, another tool. Exit code 2 when the call was wrong.
    """
    thresholds = _thresholds(fail_on or OF_TWO_RUNS, has_base=True)
    ReplayGate(
        thresholds=thresholds,
        junit=junit,
        github=github,
        report=report,
        logs=logs or (),
        most_turns=most_turns,
        seed=seed,
    ).close(new, base=base)


def replay_report(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder that careline replay wrote.")],
    output: Annotated[Path | None, typer.Option("--out", help="The file; else report.html in RUN.")] = None,
    base: Annotated[Path | None, typer.Option(help="An earlier replay, to be shown beside it.")] = None,
    most_turns: MostTurns = _MOST_TURNS,
    seed: Seed = 0,
) -> None:
    """Write the report of a replay: one HTML file, to be opened in any browser, without a network."""
    try:
        results, before = read_results(run), None if base is None else read_results(base)
        usual = OF_TWO_RUNS if base is not None else OF_A_MATRIX if results.is_matrix else OF_A_RUN
        thresholds = _thresholds(usual, has_base=base is not None)
        judgement = judged(results, before, thresholds, seed=seed)
        file = output or run / "report.html"
        write_report(file, results, before, judgement, most_turns=most_turns)
    except ResultsUnreadable as exc:
        fail(str(exc), next_step=_FOLDER_STEP, code=USAGE_ERROR)
    out.print(f"report: {file}", soft_wrap=True, markup=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayGate:
    """What a replay is held to, and where that is told. Made before the replay, so that a slip costs no waiting."""

    thresholds: tuple[Threshold, ...]
    junit: Path | None
    github: bool
    report: Path | None
    logs: Sequence[Path] = ()
    most_turns: int = _MOST_TURNS
    seed: int = 0

    @classmethod
    def of_a_run(
        cls,
        fail_on: list[str] | None,
        *,
        junit: Path | None,
        github: bool,
        report: Path | None,
        logs: Sequence[Path],
        is_matrix: bool,
    ) -> "ReplayGate":
        thresholds = _thresholds(fail_on or (OF_A_MATRIX if is_matrix else OF_A_RUN), has_base=False)
        return cls(thresholds=thresholds, junit=junit, github=github, report=report, logs=logs)

    def close(self, new: Path, *, base: Path | None = None) -> None:
        """Judge what the folder holds, tell it everywhere, and exit with 1 where a threshold is crossed."""
        try:
            results, before = read_results(new), None if base is None else read_results(base)
            judgement = judged(results, before, self.thresholds, seed=self.seed)
            if self.junit is not None:
                self.junit.parent.mkdir(parents=True, exist_ok=True)
                write_junit(self.junit, judgement.verdicts, judged_turns(results, before))
            if self.report is not None:
                self.report.parent.mkdir(parents=True, exist_ok=True)
                write_report(self.report, results, before, judgement, most_turns=self.most_turns)
        except ResultsUnreadable as exc:
            fail(str(exc), next_step=_FOLDER_STEP, code=USAGE_ERROR)
        except OSError as exc:
            fail(f"{exc.filename}: {exc.strerror}", next_step="Name a file that may be written.")
        if judgement.comparison is not None:
            print_comparison(judgement.comparison)
        print_worst(judgement)
        if self.github:
            _tell_github(judgement, self.logs)
        print_verdicts(judgement)
        for name, file in (("report", self.report), ("JUnit", self.junit)):
            if file is not None:
                out.print(f"{name}: {file}", soft_wrap=True, markup=False)
        if not judgement.passes:
            raise typer.Exit(1)


def _thresholds(texts: Sequence[str], *, has_base: bool) -> tuple[Threshold, ...]:
    try:
        return read_thresholds(texts, has_base=has_base)
    except ThresholdUnreadable as exc:
        fail(str(exc), next_step="docs/how-to-gate-a-release.md lists what may be written.", code=USAGE_ERROR)


def _tell_github(judgement: Judgement, logs: Sequence[Path]) -> None:
    places = log_places(logs, {each.conversation for each in judgement.worst})
    for line in annotations(judgement.verdicts, judgement.worst, places):
        sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
    summary = os.environ.get(_SUMMARY_VARIABLE)
    if summary:
        with Path(summary).open("a", encoding="utf-8") as file:
            file.write(job_summary(judgement.verdicts, judgement.totals, judgement.comparison))
