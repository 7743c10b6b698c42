"""`careline replay-compare`, `replay-report` and `replay --fail-on` as a CI job calls them: exit codes, files, what is said."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.careline_process import environment
from tests.replays import finding, turn, write_run


def careline(*arguments: str, folder: Path, **variables: str) -> tuple[int, str, str]:
    """Exit code, standard output and standard error."""
    done = subprocess.run(
        [sys.executable, "-m", "agent", *arguments],
        cwd=folder,
        env={**environment({}), **variables},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert "Traceback (most recent call last):\n  File" not in done.stderr
    return done.returncode, done.stdout, done.stderr


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """A folder with `base` and, of each planted regression, the run that has it."""
    base = [turn(f"c{number}", latency_ms=100.0 + number % 7) for number in range(12)]
    write_run(tmp_path / "base", base)
    write_run(tmp_path / "same", base)
    regressions: dict[str, dict[str, Any]] = {
        "lost-citation": {"citations": ()},
        "wrong-tool": {"tools": ()},
        "leak": {"reply": "Traceback (most recent call last):", "findings": (finding(),)},
        "no-answer": {"error": "timeout_error: too late", "reply": ""},
    }
    for name, fields in regressions.items():
        write_run(tmp_path / name, [*base[:-1], turn("c11", latency_ms=104.0, **fields)])
    write_run(tmp_path / "slower", [turn(f"c{n}", latency_ms=130.0 + n % 5) for n in range(12)])
    (tmp_path / "log.jsonl").write_text(
        "".join(f'{{"id": "c{number}", "messages": []}}\n' for number in range(12)), encoding="utf-8"
    )
    return tmp_path


@pytest.mark.parametrize(
    ("run", "named"),
    [
        ("lost-citation", "lost citation c11, turn 1: no longer cites returns"),
        ("wrong-tool", "other tool c11, turn 1: search_knowledge is no longer called"),
        ("leak", "finding c11, turn 1: internal_text: Traceback"),
        ("no-answer", "no answer c11, turn 1: timeout_error: too late"),
    ],
)
def test_each_planted_regression_is_named_and_fails_the_gate(runs: Path, run: str, named: str) -> None:
    code, said, complaint = careline("replay-compare", "base", run, folder=runs)

    assert code == 1
    assert named in " ".join(said.split())
    assert complaint.startswith("crossed worse:")


def test_slower_answers_are_named_with_how_sure_that_is(runs: Path) -> None:
    code, said, complaint = careline(
        "replay-compare", "base", "slower", "--fail-on", "significant:latency_ms", folder=runs
    )

    assert code == 1
    assert re.search(r"latency, mean \(ms\) .* slower", said)
    assert complaint == "crossed significant:latency_ms: latency_ms 102.58 before, 131.75 now\n"


def test_the_same_again_passes(runs: Path) -> None:
    code, said, complaint = careline("replay-compare", "base", "same", folder=runs)

    assert (code, complaint) == (0, "")
    assert said.count("kept worse:") == 5


def test_all_that_a_job_wants_is_written(runs: Path) -> None:
    code, said, _ = careline(
        *("replay-compare", "base", "leak", "--github", "--log", "log.jsonl"),
        *("--junit", "out/junit.xml", "--report", "out/report.html"),
        folder=runs,
        GITHUB_STEP_SUMMARY=str(runs / "summary.md"),
    )

    assert code == 1
    assert "\n::error file=log.jsonl,line=12,title=finding::c11, turn 1: internal_text: Traceback\n" in said
    assert (runs / "summary.md").read_text(encoding="utf-8").startswith("### Replay\n")
    assert "<failure" in (runs / "out" / "junit.xml").read_text(encoding="utf-8")
    assert "</html>" in (runs / "out" / "report.html").read_text(encoding="utf-8")


def test_a_run_gets_its_report_beside_its_rows(runs: Path) -> None:
    code, said, _ = careline("replay-report", "leak", folder=runs)

    assert (code, said) == (0, "report: leak/report.html\n")
    assert (runs / "leak" / "report.html").stat().st_size > 10_000


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("replay-compare", "base", "nowhere"), "nowhere"),
        (("replay-compare", "base", "same", "--fail-on", "worse:citations"), "did you mean citation?"),
        (("replay-report", "nowhere"), "nowhere"),
        (("replay", "log.jsonl", "--fail-on", "worse:citation"), "replay-compare"),
    ],
)
def test_a_wrong_call_ends_with_two_and_says_what_to_do(
    runs: Path, arguments: tuple[str, ...], told: str
) -> None:
    code, _, complaint = careline(*arguments, folder=runs)

    assert code == 2
    assert told in complaint
    assert not (runs / "replay-results").exists()


def test_a_broken_row_is_no_pass(runs: Path) -> None:
    with (runs / "same" / "turns.jsonl").open("ab") as rows:
        rows.write(b'{"conversation": "c12", "tu')

    code, _, complaint = careline("replay-compare", "base", "same", folder=runs)

    assert code == 2
    assert "turns.jsonl, line 13" in complaint
    assert "--resume" in complaint


def test_a_replay_is_held_to_its_thresholds(runs: Path) -> None:
    line = '{"id": "c1", "messages": [{"role": "customer", "text": "hello"}]}'
    (runs / "hello.jsonl").write_text(line, encoding="utf-8")
    held = ("replay", "hello.jsonl", "--processes", "1", "--lexical", "--fail-on", "turns<1")

    kept, said, _ = careline(*held, "--out", "one", "--report", "one.html", folder=runs)
    crossed, _, complaint = careline(*held, "--out", "two", "--fail-on", "cited<100%", folder=runs)

    assert (kept, crossed) == (0, 1)
    assert "kept turns<1: 1" in said
    assert (runs / "one.html").exists()
    assert "crossed cited<100%: 0 of 1 turns (0%)" in complaint
