"""Claims about fault plans: what they say, and that a mistake is named by its line and field."""

from pathlib import Path

import pytest

from agent.replay.faults import Fault, FaultKind, PlanUnreadable, parse_fault, read_plan
from agent.replay.matrix import named, pairs, singles

KNOWN = ("knowledge", "tickets", "sql", "model")


def plan(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "plan.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_plan_says_what_fails_how_and_how_often(tmp_path: Path) -> None:
    text = """
search: timeout 10 %
tickets: write-then-timeout
sql: [down turn 2 for 8 s, slow 0.5 s 20 %]
model: 429 retry-after 2
"""

    assert read_plan(plan(tmp_path, text), known=KNOWN) == (
        Fault(dependency="knowledge", kind=FaultKind.TIMEOUT, share=0.1),
        Fault(dependency="tickets", kind=FaultKind.WRITE_THEN_TIMEOUT),
        Fault(dependency="sql", kind=FaultKind.DOWN, first_turn=2, last_turn=2, seconds=8.0),
        Fault(dependency="sql", kind=FaultKind.SLOW, seconds=0.5, share=0.2),
        Fault(dependency="model", kind=FaultKind.RATE_LIMITED, retry_after=2.0),
    )


@pytest.mark.parametrize("dash", ["-", "–", " to "])
def test_turns_are_written_as_people_write_them(dash: str) -> None:
    fault = parse_fault("redis", f"down turns 3{dash}5")

    assert [turn for turn in range(1, 8) if fault.is_on_in(turn)] == [3, 4, 5]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("tickets: down\nsearch: explode", ":2: search: kind: 'explode'"),
        ("search: timeout 0 %", ":1: search: share"),
        ("search: timeout 101 %", ":1: search: share"),
        ("search: timeout 10 % 20 %", ":1: search: share: given twice"),
        ("\n\nsearch: timeout turns 5-3", ":3: search: turns"),
        ("search: slow", ":1: search: seconds"),
        ("search: timeout 3 s", ":1: search: seconds"),
        ("search: down for 3 s", ":1: search: turns"),
        ("search: timeout retry-after 3", ":1: search: retry-after"),
        ("search: timeout sometimes", ":1: search: 'sometimes' is not understood"),
        ("search:\n  - down\n  - [down]", ":3: search[2]: must be a text"),
        ("search: down\nknowledge: down", ":2: knowledge: knowledge has another name"),
        ("search: down\nsearch: down", ":2: search: is given twice"),
        ("tickts: down", ":1: tickts: no such field; did you mean tickets?"),
        ("- down", ":1: file: must be a mapping"),
        ("search: [down", "is no YAML"),
    ],
)
def test_a_mistake_is_named_by_line_and_field(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(PlanUnreadable) as failed:
        read_plan(plan(tmp_path, text), known=KNOWN)

    assert said in str(failed.value)


def test_a_plan_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(PlanUnreadable, match=r"plan\.yaml"):
        read_plan(tmp_path / "plan.yaml", known=KNOWN)


def test_a_matrix_has_each_fault_once_and_each_pair_of_two_dependencies_once() -> None:
    alone = [named(cell) for cell in singles(("sql", "tickets", "knowledge"))]
    together = [named(cell) for cell in pairs(("sql", "tickets", "knowledge"))]

    assert len(alone) == len(set(alone)) == 6 + 8 + 5
    assert len(together) == len(set(together)) == 6 * 8 + 6 * 5 + 8 * 5
    assert "sql-down+tickets-lost" in together


def test_what_is_known_to_nobody_fails_in_every_way_in_a_matrix() -> None:
    assert {cell[0].kind for cell in singles(("mcp_weather",))} == set(FaultKind)
