"""
Choose which conversations a report shows, and sum up for its plots what all of them did.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from agent.replay.changes import NEUTRAL, Change, ChangeKind
from agent.replay.gate import judged_turns
from agent.replay.measures import Outcome, outcome
from agent.replay.results import ReplayResults, TimedTurn

NO_FAULT = "no fault"
FINDINGS = "findings"

_KINDS = list(ChangeKind)
_HARMLESS = len(_KINDS)


@dataclass(slots=True)
class ShownConversation:
    """`gravity` is the place of its gravest change, the worst first; `turns` its last turn's number."""

    cell: str
    conversation: str
    turns: int = 0
    rows: int = 0
    gravity: float = 2.0 * _HARMLESS


@dataclass(slots=True)
class Overview:
    """Of all turns, shown or not: `heat` counts outcomes, and turns with findings, by fault."""

    conversations: list[ShownConversation] = field(default_factory=list)
    heat: dict[str, Counter[str]] = field(default_factory=dict)
    turns: int = 0


def overview(new: ReplayResults, base: ReplayResults | None) -> Overview:
    """Keeps a few numbers a conversation."""
    found = Overview()
    by_name: dict[tuple[str, str], ShownConversation] = {}
    is_matrix = new.is_matrix
    for cell, turn, changes in judged_turns(new, base):
        found.turns += 1
        shown = by_name.get((cell, turn.conversation))
        if shown is None:
            shown = by_name[cell, turn.conversation] = ShownConversation(cell, turn.conversation)
        shown.turns = max(shown.turns, turn.turn)
        shown.rows += 1
        shown.gravity = min(shown.gravity, _gravity(turn, changes))
        for fault in _faults(cell, turn, is_matrix=is_matrix):
            counts = found.heat.setdefault(fault, Counter())
            counts[outcome(turn)] += 1
            counts[FINDINGS] += bool(turn.findings)
    found.conversations = sorted(by_name.values(), key=lambda each: each.gravity)
    return found


def chosen(conversations: list[ShownConversation], *, most_turns: int) -> Iterator[ShownConversation]:
    """The gravest first, as many whole conversations as fit; at least one."""
    left = most_turns
    for number, each in enumerate(conversations):
        if number and each.rows > left:
            return
        left -= each.rows
        yield each


def _gravity(turn: TimedTurn, changes: tuple[Change, ...]) -> float:
    """What got worse; findings and errors as they were; what was not simply answered; other words; the rest."""
    worst = next((change.kind for change in changes if change.kind not in NEUTRAL), None)
    if worst is not None:
        return _KINDS.index(worst)
    if turn.findings or turn.error is not None:
        return _HARMLESS
    if outcome(turn) is not Outcome.ANSWERED:
        return _HARMLESS + 1
    return _HARMLESS + (2 if changes else 3)


def _faults(cell: str, turn: TimedTurn, *, is_matrix: bool) -> tuple[str, ...]:
    if is_matrix:
        return (cell,)
    return tuple(dict.fromkeys(turn.faults)) or (NO_FAULT,)


def turn_row(new: TimedTurn | None, base: TimedTurn | None, changes: tuple[Change, ...]) -> dict[str, Any]:
    """One turn for the page, without its steps; fields that are empty are left out."""
    turn = new or base
    if turn is None:
        raise ValueError("neither run has this turn")
    row = {
        "n": turn.turn,
        "customer": turn.customer,
        "recorded": turn.recorded_reply,
        "recordedTools": turn.recorded_tools,
        "changes": [
            (change.kind, change.detail) for change in changes if change.kind is not ChangeKind.FINDING
        ],
        "newFindings": [change.detail for change in changes if change.kind is ChangeKind.FINDING],
        **({"now": _answer(new)} if new is not None else {}),
        **({"before": _answer(base)} if base is not None else {}),
    }
    return {name: value for name, value in row.items() if value not in ("", (), [], None)}


def _answer(turn: TimedTurn) -> dict[str, Any]:
    row = {
        "outcome": outcome(turn),
        "reply": turn.reply,
        "status": turn.status,
        "brain": turn.brain,
        "degraded": turn.degraded,
        "tools": [(tool.tool, tool.status, tool.error_type) for tool in turn.tools],
        "citations": turn.citations,
        "overlap": turn.overlap,
        "ms": turn.latency_ms,
        "tokens": turn.tokens,
        "error": turn.error,
        "faults": turn.faults,
        "findings": [(finding.rule, finding.detail) for finding in turn.findings],
    }
    return {name: value for name, value in row.items() if value not in ("", (), [], None, 0)}


def turn_details(turn: TimedTurn) -> dict[str, Any]:
    """What is looked at on demand: the explained steps, and what the tools were asked and answered."""
    tools = [
        {"tool": tool.tool, "args": tool.args, "result": tool.result}
        for tool in turn.tools
        if tool.args is not None or tool.result is not None
    ]
    details = {"steps": turn.steps, "tools": tools}
    return {name: value for name, value in details.items() if value}
