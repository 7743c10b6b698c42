"""
Sum a replay up: how many turns were answered, degraded, cited, what they used, what broke a rule, how long they took.

Keeps numbers only, never the turns: its memory does not grow with their texts.
"""

from array import array
from collections import Counter
from typing import Any

from agent.replay.measures import percentile
from agent.replay.rows import ReplayedTurn


class Summary:
    def __init__(self) -> None:
        self._statuses: Counter[str] = Counter()
        self._tools: Counter[str] = Counter()
        self._degraded: Counter[str] = Counter()
        self._errors: Counter[str] = Counter()
        self._faults: Counter[str] = Counter()
        self._findings: Counter[str] = Counter()
        self._turns = 0
        self._cited = 0
        self._degraded_turns = 0
        self._faulty_turns = 0
        self._found_turns = 0
        self._handed_over = 0
        self._same_tools = 0
        self._tokens = 0
        self._latencies = array("f")
        self._overlaps = array("f")
        self._conversations = 0

    def add(self, turn: ReplayedTurn) -> None:
        self._turns += 1
        self._conversations += turn.turn == 1
        self._faults.update(turn.faults)
        self._faulty_turns += bool(turn.faults)
        self._findings.update(finding.rule for finding in turn.findings)
        self._found_turns += bool(turn.findings)
        if turn.error is not None:
            self._errors[turn.error.split(":", 1)[0]] += 1
            return
        self._statuses[turn.status or "unknown"] += 1
        self._cited += bool(turn.citations)
        self._degraded_turns += bool(turn.degraded)
        self._degraded.update(turn.degraded)
        self._handed_over += turn.handed_over
        self._tokens += turn.tokens
        self._tools.update(f"{tool.tool} {tool.status}" for tool in turn.tools)
        self._same_tools += Counter(tool.tool for tool in turn.tools) == Counter(turn.recorded_tools)
        self._latencies.append(turn.latency_ms)
        if turn.overlap is not None:
            self._overlaps.append(turn.overlap)

    @property
    def errors(self) -> int:
        return self._errors.total()

    @property
    def turns_with_findings(self) -> int:
        return self._found_turns

    def as_dict(self) -> dict[str, Any]:
        """JSON of `summary.json`: counts of turns unless the name says otherwise; latencies in milliseconds."""
        return {
            "conversations": self._conversations,
            "turns": self._turns,
            "answered": self._statuses.total(),
            "by_status": _counted(self._statuses),
            "errors": _counted(self._errors),
            "degraded": self._degraded_turns,
            "degraded_parts": _counted(self._degraded),
            "handed_over": self._handed_over,
            "cited": self._cited,
            "tools": _counted(self._tools),
            "tokens": self._tokens,
            "met_faults": self._faulty_turns,
            "faults": _counted(self._faults),
            "with_findings": self._found_turns,
            "findings": _counted(self._findings),
            "difference": {
                "compared_replies": len(self._overlaps),
                "mean_word_overlap": _rounded(sum(self._overlaps) / len(self._overlaps))
                if self._overlaps
                else None,
                "same_tools_as_recorded": self._same_tools,
            },
            "latency_ms": {
                name: _rounded(found) if (found := percentile(self._latencies, share)) is not None else None
                for name, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99), ("max", 1.0))
            },
        }


def _counted(counts: Counter[str]) -> dict[str, int]:
    """The most frequent first, and of equals the first in the alphabet, so that the same counts are the same bytes."""
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _rounded(value: float) -> float:
    return round(value, 2)
