"""What got worse between two replays is found, named and ordered; what only differs is not called worse."""

import random
from pathlib import Path
from typing import Any

import pytest

from agent.replay.changes import ChangeKind, changes, improvements
from agent.replay.comparison import compare
from agent.replay.pairing import PlacedTurns, pairs
from agent.replay.results import ResultsUnreadable, read_results
from agent.replay.rows import ReplayedTool
from tests.replays import SEARCH, finding, turn, write_run

_OPEN_TICKET = ReplayedTool("open_ticket", "succeeded")


@pytest.mark.parametrize(
    ("now", "kind", "detail"),
    [
        ({"citations": ()}, "citation", "no longer cites returns"),
        ({"citations": ("delivery",)}, "citation", "no longer cites returns, but delivery"),
        ({"tools": (_OPEN_TICKET,)}, "tool", "search_knowledge was called, now open_ticket"),
        ({"tools": ()}, "tool", "search_knowledge is no longer called"),
        ({"tools": (SEARCH, _OPEN_TICKET)}, "tool", "open_ticket is called too"),
        (
            {"tools": (ReplayedTool("search_knowledge", "failed", "timeout_error"),)},
            "tool",
            "search_knowledge failed (timeout_error) succeeded before",
        ),
        ({"findings": (finding(),)}, "finding", "internal_text: Traceback"),
        ({"error": "timeout_error: too late", "reply": ""}, "answer", "timeout_error: too late"),
        ({"degraded": ("search:knowledge",)}, "degraded", "without search:knowledge"),
        ({"handed_over": True}, "handover", "the agent answered this itself"),
        ({"status": "handed_over"}, "handover", "the agent answered this itself"),
        ({"latency_ms": 900.0}, "slower", "900 ms, 50 before"),
        ({"tokens": 2000}, "dearer", "2,000 tokens, 0 before"),
        ({"reply": "Within 14 days [1]"}, "reply", "75% of the words are the same"),
    ],
)
def test_each_regression_is_named(now: dict[str, Any], kind: str, detail: str) -> None:
    (found,) = changes(turn(), turn(**now))

    assert (found.kind, found.detail) == (kind, detail)


def test_the_gravest_change_of_a_turn_comes_first() -> None:
    found = changes(turn(), turn(citations=(), findings=(finding(),), reply="x", latency_ms=900.0))

    assert [change.kind for change in found] == ["finding", "citation", "slower", "reply"]


def test_a_missing_turn_is_worse_and_an_added_one_is_not() -> None:
    assert [change.kind for change in changes(turn(), None)] == ["missing"]
    assert changes(None, turn()) == ()


def test_what_was_so_before_is_no_change() -> None:
    bad = turn(findings=(finding(),), degraded=("search:knowledge",), latency_ms=900.0)

    assert changes(bad, bad) == ()
    assert changes(turn(error="timeout_error: x"), turn(error="timeout_error: y")) == ()


def test_the_same_breach_in_other_words_is_no_new_finding_and_a_second_one_is() -> None:
    late, later, second = (finding("too_late", f"{ms} ms") for ms in (26_000, 27_000, 28_000))

    assert changes(turn(findings=(late,)), turn(findings=(later,))) == ()
    (found,) = changes(turn(findings=(late,)), turn(findings=(second, late)))
    assert found.detail == "too_late: 28000 ms"


def test_a_tool_that_now_is_the_recorded_one_is_not_worse() -> None:
    base = turn(recorded_tools=("open_ticket",))
    new = turn(recorded_tools=("open_ticket",), tools=(_OPEN_TICKET,))

    assert changes(base, new) == ()
    assert [change.kind for change in changes(new, base)] == ["tool"]


def test_the_way_back_is_an_improvement_but_not_where_the_way_forth_is_worse_too() -> None:
    bad, swapped = turn(citations=(), degraded=("search:knowledge",)), turn(citations=("delivery",))

    assert improvements(bad, turn(), changes(bad, turn())) == {ChangeKind.CITATION, ChangeKind.DEGRADED}
    assert improvements(turn(), swapped, changes(turn(), swapped)) == set()


def test_turns_are_paired_whatever_their_order(tmp_path: Path) -> None:
    turns = [turn(f"c{number}", place) for number in range(50) for place in (1, 2, 3)]
    base = write_run(tmp_path / "base", turns)
    shuffled = random.Random(4).sample(turns, len(turns))
    new = write_run(tmp_path / "new", [each for each in shuffled if each.conversation != "c7"])

    paired = list(pairs(base, new))

    assert [(now.conversation, now.turn) for _, _, now in paired if now is not None] == [
        (each.conversation, each.turn) for each in shuffled if each.conversation != "c7"
    ]
    assert all(before is not None for _, before, _ in paired)
    assert [(b.conversation, b.turn) for _, b, now in paired if now is None and b is not None] == [
        ("c7", 1),
        ("c7", 2),
        ("c7", 3),
    ]


def test_turns_whose_hashes_are_equal_are_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.replay.pairing._hash", lambda conversation, number: 1)
    run = write_run(tmp_path, [turn("a", reply="of a"), turn("b", reply="of b")])

    with PlacedTurns(run.folders[0]) as index:
        found = [index.find(name, 1) for name in ("b", "a", "c")]

    assert [each and each.reply for each in found] == ["of b", "of a", None]


def test_cells_of_a_matrix_are_compared_with_their_own(tmp_path: Path) -> None:
    for run, reply in (("base", "as it was"), ("new", "as it is")):
        write_run(tmp_path / run / "cells" / "none", [turn(reply=reply)])
        write_run(tmp_path / run / "cells" / "tickets-down", [turn(reply="sorry")])
    write_run(tmp_path / "new" / "cells" / "sql-down", [turn(reply="new cell")])
    base, new = read_results(tmp_path / "base"), read_results(tmp_path / "new")

    found = compare(base, new, seed=1)

    assert (found.pairs, dict(found.worse)) == (2, {ChangeKind.REPLY: 1})
    assert [(each.cell, each.conversation) for each in found.worst] == [("none", "c1")]
    assert found.unpaired_cells == ("sql-down",)


def test_examples_are_few_and_the_gravest_of_their_kind(tmp_path: Path) -> None:
    base = write_run(tmp_path / "base", [turn(f"c{number}") for number in range(300)])
    new = write_run(
        tmp_path / "new",
        [turn(f"c{number}", latency_ms=200.0 + number, citations=()) for number in range(300)],
    )

    found = compare(base, new, seed=1)

    slower = [each for each in found.worst if each.change.kind is ChangeKind.SLOWER]
    assert [each.change.kind for each in found.worst[:50]] == ["citation"] * 50
    assert [each.conversation for each in slower[:2]] == ["c299", "c298"]
    assert len(slower) == 50
    assert found.worse == {ChangeKind.CITATION: 300, ChangeKind.SLOWER: 300}


@pytest.mark.parametrize(
    "row", [b'{"conversation": "c1"}', b"not json", b'{"conversation": "c1", "turn": "one"}'], ids=repr
)
def test_a_broken_row_is_named_by_its_line(tmp_path: Path, row: bytes) -> None:
    base = write_run(tmp_path / "base", [turn()])
    new = write_run(tmp_path / "new", [turn()])
    with (tmp_path / "new" / "turns.jsonl").open("ab") as file:
        file.write(b"\n" + row + b"\n")

    with pytest.raises(ResultsUnreadable, match=r"turns\.jsonl, line 3"):
        compare(base, new, seed=1)


def test_a_folder_without_results_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ResultsUnreadable, match=r"turns\.jsonl"):
        read_results(tmp_path)
