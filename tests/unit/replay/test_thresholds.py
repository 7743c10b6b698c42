"""What `--fail-on` says is held against a run or a comparison, word by word; what cannot be read is told with what was meant."""

from pathlib import Path

import pytest

from agent.replay.changes import ChangeKind
from agent.replay.gate import judged
from agent.replay.results import TimedTurn
from agent.replay.thresholds import OF_A_RUN, ThresholdUnreadable, read_thresholds
from tests.replays import finding, turn, write_run


def of_a_run(folder: Path, turns: list[TimedTurn], *texts: str) -> list[tuple[str, bool, str]]:
    run = write_run(folder / "run", turns)
    verdicts = judged(run, None, read_thresholds(texts, has_base=False), seed=1).verdicts
    return [(each.threshold, each.is_crossed, each.seen) for each in verdicts]


def of_two(folder: Path, base: list[TimedTurn], new: list[TimedTurn], *texts: str) -> list[tuple[bool, str]]:
    before, now = write_run(folder / "base", base), write_run(folder / "new", new)
    verdicts = judged(now, before, read_thresholds(texts, has_base=True), seed=1).verdicts
    return [(each.is_crossed, each.seen) for each in verdicts]


_FOUR = [
    turn("a", latency_ms=10.0),
    turn("a", 2, latency_ms=20.0, findings=(finding("internal_text"), finding("internal_text", "twice"))),
    turn("b", latency_ms=30.0, citations=(), tokens=100),
    turn("c", error="timeout_error: too late", reply="", citations=()),
]


@pytest.mark.parametrize(
    ("text", "is_crossed", "seen"),
    [
        ("findings>0", True, "1 of 4 turns (25%)"),
        ("findings>1", False, "1 of 4 turns (25%)"),
        ("findings > 25%", False, "1 of 4 turns (25%)"),
        ("findings>=25%", True, "1 of 4 turns (25%)"),
        ("findings:internal_text>0", True, "1 of 4 turns (25%)"),
        ("findings:other_rule>0", False, "0 of 4 turns (0%)"),
        ("answered<100%", True, "3 of 4 turns (75%)"),
        ("answered<75%", False, "3 of 4 turns (75%)"),
        ("answered <= 3", True, "3 of 4 turns (75%)"),
        ("cited<50%", False, "2 of 4 turns (50%)"),
        ("latency_ms>19.9", True, "20"),
        ("p50_ms>20", False, "20"),
        ("p95_ms>=30", True, "30"),
        ("max_ms<31", True, "30"),
        ("tokens>25", False, "25"),
        ("total_tokens>=100", True, "100"),
        ("turns<5", True, "4"),
        ("conversations<3", False, "3"),
        ("overlap<0.1", True, "no turn has such a figure"),
    ],
)
def test_a_run_is_held_to_its_limits(tmp_path: Path, text: str, is_crossed: bool, seen: str) -> None:
    assert of_a_run(tmp_path, _FOUR, text) == [(text, is_crossed, seen)]


def test_usually_every_turn_needs_an_answer_and_no_finding(tmp_path: Path) -> None:
    assert [crossed for _, crossed, _ in of_a_run(tmp_path, _FOUR, *OF_A_RUN)] == [True, True]
    assert [crossed for _, crossed, _ in of_a_run(tmp_path, [turn()], *OF_A_RUN)] == [False, False]


def test_a_run_of_nothing_keeps_no_limit(tmp_path: Path) -> None:
    assert [crossed for _, crossed, _ in of_a_run(tmp_path, [], "answered<1%", "findings>0", "p95_ms>1")] == [
        True,
        True,
        True,
    ]


@pytest.mark.parametrize(
    ("text", "is_crossed", "seen"),
    [
        ("p95_ms +20%", True, "100 before, 121 now"),
        ("p95_ms +21%", False, "100 before, 121 now"),
        ("latency_ms +20", True, "100 before, 121 now"),
        ("latency_ms -1%", False, "100 before, 121 now"),
        ("cited -10", True, "100% before, 75% now"),
        ("cited -25", False, "100% before, 75% now"),
        ("cited -24.9%", True, "100% before, 75% now"),
        ("tokens +1%", True, "0 before, 50 now"),
        ("answered -0", False, "100% before, 100% now"),
        ("worse:citation", True, "lost citation: 1 of 4 turns"),
        ("worse:citation>1", False, "lost citation: 1 of 4 turns"),
        ("worse:citation>24.9%", True, "lost citation: 1 of 4 turns"),
        ("worse:tool", False, "none of 4 turns"),
        ("worse:any", True, "lost citation: 1 of 4 turns"),
        ("significant:latency_ms", True, "too few conversations to say"),
    ],
)
def test_two_runs_are_held_to_their_difference(
    tmp_path: Path, text: str, is_crossed: bool, seen: str
) -> None:
    base = [turn(f"c{number}", latency_ms=100.0) for number in range(4)]
    new = [
        turn(f"c{number}", latency_ms=121.0, tokens=50, citations=() if number == 2 else ("returns",))
        for number in range(4)
    ]

    assert of_two(tmp_path, base, new, text) == [(is_crossed, seen)]


def test_what_moved_beyond_chance_is_named_with_both_figures(tmp_path: Path) -> None:
    base = [turn(f"c{number}", latency_ms=100.0 + number % 3) for number in range(40)]
    new = [turn(f"c{number}", latency_ms=130.0 + number % 5) for number in range(40)]

    assert of_two(tmp_path, base, new, "significant:latency_ms", "significant:cited", "significant:any") == [
        (True, "latency_ms 100.97 before, 132 now"),
        (False, "nothing got worse beyond chance"),
        (True, "latency_ms 100.97 before, 132 now, p95_ms 102 before, 134 now"),
    ]


def test_runs_of_other_conversations_are_no_comparison(tmp_path: Path) -> None:
    crossed = of_two(tmp_path, [], [turn("b")], "worse:citation")

    assert crossed == [(True, "no turn is in both runs")]


def test_a_verdict_knows_which_turns_it_is_about(tmp_path: Path) -> None:
    run = write_run(tmp_path, _FOUR)

    verdicts = judged(run, None, read_thresholds(["findings>0", "p95_ms>1"], has_base=False), seed=1).verdicts

    assert [each.kinds for each in verdicts] == [{ChangeKind.FINDING}, frozenset()]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("finding>0", "did you mean findings?"),
        ("anwsered<99%", "did you mean answered?"),
        ("worse:citations", "did you mean citation?"),
        ("worse:reply", "there are any, finding"),
        ("significant:p95", "did you mean p95_ms?"),
        ("answered", "cannot be read"),
        ("answered<-1", "cannot be read"),
        ("answered<1e3", "cannot be read"),
        ("answered=1", "cannot be read"),
        ("", "cannot be read"),
        ("p95_ms>20%", "no share"),
        ("cited:internal_text>0", "only findings"),
    ],
)
def test_what_cannot_be_read_is_told_with_what_was_meant(text: str, told: str) -> None:
    with pytest.raises(ThresholdUnreadable, match=told.replace("?", r"\?")):
        read_thresholds([text], has_base=True)


@pytest.mark.parametrize("text", ["worse:citation", "significant:any", "p95_ms +20%"])
def test_a_difference_needs_two_runs(text: str) -> None:
    with pytest.raises(ThresholdUnreadable, match="replay-compare"):
        read_thresholds([text], has_base=False)
