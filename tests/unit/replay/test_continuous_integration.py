"""What CI services read, JUnit XML and GitHub's commands, says what the gate says, whatever was recorded."""

from pathlib import Path
from xml.etree import ElementTree

import pytest

from agent.replay.annotations import LogPlace, annotations, job_summary, log_places
from agent.replay.changes import Change, ChangeKind
from agent.replay.comparison import ChangedTurn
from agent.replay.gate import judged, judged_turns
from agent.replay.junit import write_junit
from agent.replay.results import ReplayResults
from agent.replay.thresholds import OF_TWO_RUNS, Verdict, read_thresholds
from tests.replays import finding, turn, write_run

_HOSTILE = "a\x00b\x1b[31m\ufffe\r\n]]><failure/>&amp;\"' ::error::x %0A"


def junit(folder: Path, new: ReplayResults, base: ReplayResults | None, *texts: str) -> ElementTree.Element:
    file = folder / "junit.xml"
    judgement = judged(new, base, read_thresholds(texts, has_base=base is not None), seed=1)
    write_junit(file, judgement.verdicts, judged_turns(new, base))
    assert not file.with_name("junit.xml.part").exists()
    return ElementTree.parse(file).getroot()  # noqa: S314 -- our own file


def cases(root: ElementTree.Element, suite: str) -> dict[str, str | None]:
    """Name of each case with its failure's message."""
    found = {}
    for case in root.iterfind(f"testsuite[@name='{suite}']/testcase"):
        failure = case.find("failure")
        found[f"{case.get('classname')} {case.get('name')}"] = (
            None if failure is None else failure.get("message")
        )
    return found


def test_junit_is_red_where_the_gate_is(tmp_path: Path) -> None:
    run = write_run(
        tmp_path / "run",
        [turn("a"), turn("a", 2, findings=(finding(),)), turn("b", error="timeout_error: x")],
    )

    root = junit(tmp_path, run, None, "findings>0", "answered<10%")

    assert cases(root, "thresholds") == {
        "thresholds findings>0": "1 of 3 turns (33.33%)",
        "thresholds answered<10%": None,
    }
    assert cases(root, "turns") == {
        "a turn 1": None,
        "a turn 2": "finding: internal_text: Traceback",
        "b turn 1": None,
    }
    assert root.attrib == {"name": "careline replay", "tests": "5", "failures": "2"}
    told = root.find("testsuite[@name='turns']/testcase[@classname='b']/system-out")
    assert told is not None
    assert told.text == "no answer: timeout_error: x"


def test_junit_of_two_runs_names_what_got_worse(tmp_path: Path) -> None:
    base = write_run(tmp_path / "base", [turn("a"), turn("b")])
    new = write_run(tmp_path / "new", [turn("a", citations=())])

    root = junit(tmp_path, new, base, *OF_TWO_RUNS)

    assert cases(root, "turns") == {
        "a turn 1": "lost citation: no longer cites returns",
        "b turn 1": "missing turn: the new run has no such turn",
    }


def test_hostile_text_leaves_the_junit_file_well_formed(tmp_path: Path) -> None:
    bad = turn(_HOSTILE, customer=_HOSTILE, reply=_HOSTILE, findings=(finding(_HOSTILE, _HOSTILE),))

    root = junit(tmp_path, write_run(tmp_path / "run", [bad]), None, "findings>0")

    ((name, message),) = cases(root, "turns").items()
    assert name == "a\ufffdb\ufffd[31m\ufffd\r\n]]><failure/>&amp;\"' ::error::x %0A turn 1"
    assert message is not None
    assert message.count("]]><failure/>") == 2
    assert len(root.findall(".//failure")) == 2


def crossed(*kinds: ChangeKind) -> Verdict:
    return Verdict("findings>0", True, "1 of 4 turns", frozenset(kinds))


def test_an_annotation_stands_at_the_line_of_the_log_and_is_escaped_as_github_wants() -> None:
    bad = ChangedTurn("search: down, all", "c:1", 2, Change(ChangeKind.FINDING, "100 %\r\n::error::x"))

    lines = list(annotations([crossed(ChangeKind.FINDING)], [bad], {"c:1": LogPlace("logs/a,b:c.jsonl", 3)}))

    assert lines == [
        "::error title=Replay::findings>0 is crossed: 1 of 4 turns",
        "::error file=logs/a%2Cb%3Ac.jsonl,line=3,title=finding::c:1, turn 2 (search: down, all): 100 %25%0D%0A::error::x",
    ]


def test_no_annotation_where_nothing_is_crossed_or_it_is_about_something_else() -> None:
    lost = ChangedTurn("", "c1", 1, Change(ChangeKind.CITATION, "x"))
    kept = Verdict("findings>0", False, "0 of 4 turns", frozenset({ChangeKind.FINDING}))

    assert list(annotations([kept], [lost], {})) == []
    assert len(list(annotations([crossed(ChangeKind.FINDING)], [lost], {}))) == 1


def test_more_annotations_than_github_shows_end_with_how_many_there_are() -> None:
    bad = [ChangedTurn("", f"c{number}", 1, Change(ChangeKind.FINDING, "x")) for number in range(12)]

    lines = list(annotations([crossed(ChangeKind.FINDING)], bad, {}))

    assert len(lines) == 10
    assert lines[-1].endswith("and at least 4 more, see the report")


def test_lines_of_logs_are_found_also_beside_broken_ones(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    log.write_bytes(b'{"id": "a", "messages": []}\n\nbroken\n\xff\n{"id": "b", "messages": []}\n')

    places = log_places([tmp_path / "gone.jsonl", tmp_path / "logs.json", log], {"b", "c"})

    assert places == {"b": LogPlace(log.as_posix(), 5)}


@pytest.mark.parametrize("is_compared", [True, False])
def test_the_summary_of_the_job_shows_thresholds_and_measures_as_text(
    tmp_path: Path, is_compared: bool
) -> None:
    base = write_run(tmp_path / "base", [turn(f"c{number}") for number in range(20)])
    new = write_run(tmp_path / "new", [turn(f"c{number}", latency_ms=90.0) for number in range(20)])
    texts = ["worse:any"] if is_compared else ["findings>0"]
    thresholds = read_thresholds(texts, has_base=is_compared)
    judgement = judged(new, base if is_compared else None, thresholds, seed=1)

    summary = job_summary(judgement.verdicts, judgement.totals, judgement.comparison)

    if is_compared:
        assert "| worse\\:any | none of 20 turns | kept |" in summary
        assert "| latency, mean | 50 | 90 | +40 … +40 | **slower** |" in summary
    else:
        assert "| findings\\>0 | 0 of 20 turns \\(0%\\) | kept |" in summary
        assert "| latency, mean | 90 |" in summary
