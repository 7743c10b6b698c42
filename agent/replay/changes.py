"""
Name what changed between two replays of one turn, the worst first, and what must not be in a turn that stands by itself.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from agent.replay.differences import word_overlap
from agent.replay.measures import is_handed_over
from agent.replay.rows import ReplayedTool, ReplayedTurn
from core.messages import ActionStatus

_SLOWER_FACTOR = 2.0
_SLOWER_MS = 100.0
_DEARER_FACTOR = 1.5
_DEARER_TOKENS = 100


class ChangeKind(StrEnum):
    """In the order in which they weigh; the names are those of `--fail-on worse:NAME`."""

    FINDING = "finding"
    ANSWER = "answer"
    MISSING = "missing"
    CITATION = "citation"
    TOOL = "tool"
    DEGRADED = "degraded"
    HANDOVER = "handover"
    SLOWER = "slower"
    DEARER = "dearer"
    REPLY = "reply"


TITLES = {
    ChangeKind.FINDING: "finding",
    ChangeKind.ANSWER: "no answer",
    ChangeKind.MISSING: "missing turn",
    ChangeKind.CITATION: "lost citation",
    ChangeKind.TOOL: "other tool",
    ChangeKind.DEGRADED: "newly degraded",
    ChangeKind.HANDOVER: "newly handed over",
    ChangeKind.SLOWER: "slower",
    ChangeKind.DEARER: "more tokens",
    ChangeKind.REPLY: "other words",
}
NEUTRAL = frozenset({ChangeKind.REPLY})
"""Other words alone are neither worse nor better."""


@dataclass(frozen=True, slots=True)
class Change:
    """`size` orders changes of one kind, the greatest first."""

    kind: ChangeKind
    detail: str
    size: float = 0.0


def shortcomings(turn: ReplayedTurn) -> tuple[Change, ...]:
    """What is wrong with a turn whatever it was before."""
    found = [Change(ChangeKind.FINDING, f"{each.rule}: {each.detail}") for each in turn.findings]
    if turn.error is not None:
        found.append(Change(ChangeKind.ANSWER, turn.error))
    return tuple(found)


def changes(base: ReplayedTurn | None, new: ReplayedTurn | None) -> tuple[Change, ...]:
    """In the order of `ChangeKind`; a turn that only the new run has is no change."""
    if base is None:
        return ()
    if new is None:
        return (Change(ChangeKind.MISSING, "the new run has no such turn"),)
    return tuple(_changes(base, new))


def improvements(base: ReplayedTurn, new: ReplayedTurn, got_worse: tuple[Change, ...]) -> set[ChangeKind]:
    """What the way back would call worse, unless the way forth is worse in it too (another article in place of the one cited)."""
    back = {change.kind for change in _changes(new, base)} - NEUTRAL
    return back - {change.kind for change in got_worse}


def _changes(base: ReplayedTurn, new: ReplayedTurn) -> Iterator[Change]:
    yield from _findings(base, new)
    if new.error is not None:
        if base.error is None:
            yield Change(ChangeKind.ANSWER, new.error)
        return
    if base.error is not None:
        return
    yield from _citations(base, new)
    yield from _tools(base, new)
    newly = [part for part in new.degraded if part not in base.degraded]
    if newly:
        yield Change(ChangeKind.DEGRADED, f"without {', '.join(newly)}")
    if is_handed_over(new) and not is_handed_over(base):
        yield Change(ChangeKind.HANDOVER, "the agent answered this itself")
    yield from _costs(base, new)
    if new.reply != base.reply:
        overlap = word_overlap(base.reply, new.reply)
        yield Change(ChangeKind.REPLY, f"{overlap:.0%} of the words are the same", size=1 - overlap)


def _findings(base: ReplayedTurn, new: ReplayedTurn) -> Iterator[Change]:
    """More of a rule than before: the same breach may be told with other words (so many milliseconds too late)."""
    left = Counter(finding.rule for finding in base.findings)
    said = {(finding.rule, finding.detail) for finding in base.findings}
    for finding in sorted(new.findings, key=lambda each: (each.rule, each.detail) not in said):
        if left[finding.rule]:
            left[finding.rule] -= 1
        else:
            yield Change(ChangeKind.FINDING, f"{finding.rule}: {finding.detail}")


def _citations(base: ReplayedTurn, new: ReplayedTurn) -> Iterator[Change]:
    lost = [article for article in dict.fromkeys(base.citations) if article not in new.citations]
    if lost:
        instead = [article for article in dict.fromkeys(new.citations) if article not in base.citations]
        detail = f"no longer cites {', '.join(lost)}" + (f", but {', '.join(instead)}" if instead else "")
        yield Change(ChangeKind.CITATION, detail, size=len(lost))


def _tools(base: ReplayedTurn, new: ReplayedTurn) -> Iterator[Change]:
    """Tools that now are the recorded ones, and were not, are right at last."""
    before, now = _names(base.tools), _names(new.tools)
    if before != now:
        if base.recorded_tools and now == Counter(base.recorded_tools):
            return
        gone, come = sorted((before - now).elements()), sorted((now - before).elements())
        if gone and come:
            yield Change(ChangeKind.TOOL, f"{', '.join(gone)} was called, now {', '.join(come)}", size=3)
        elif gone:
            yield Change(ChangeKind.TOOL, f"{', '.join(gone)} is no longer called", size=3)
        else:
            yield Change(ChangeKind.TOOL, f"{', '.join(come)} is called too", size=2)
        return
    failed = sorted((_failed(new.tools) - _failed(base.tools)).elements())
    if failed:
        yield Change(ChangeKind.TOOL, f"{', '.join(failed)} succeeded before", size=1)


def _names(tools: tuple[ReplayedTool, ...]) -> Counter[str]:
    return Counter(tool.tool for tool in tools)


def _failed(tools: tuple[ReplayedTool, ...]) -> Counter[str]:
    return Counter(
        f"{tool.tool} {tool.status}" + (f" ({tool.error_type})" if tool.error_type else "")
        for tool in tools
        if tool.status != ActionStatus.SUCCEEDED
    )


def _costs(base: ReplayedTurn, new: ReplayedTurn) -> Iterator[Change]:
    more_ms = new.latency_ms - base.latency_ms
    if more_ms > _SLOWER_MS and new.latency_ms > _SLOWER_FACTOR * base.latency_ms:
        yield Change(
            ChangeKind.SLOWER, f"{new.latency_ms:,.0f} ms, {base.latency_ms:,.0f} before", size=more_ms
        )
    more_tokens = new.tokens - base.tokens
    if more_tokens > _DEARER_TOKENS and new.tokens > _DEARER_FACTOR * base.tokens:
        yield Change(ChangeKind.DEARER, f"{new.tokens:,} tokens, {base.tokens:,} before", size=more_tokens)
