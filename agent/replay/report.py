"""
Sum a replay up: how many turns were answered, degraded, cited, what they used, how they differ, how long they took.

Keeps numbers only, never the turns: its memory does not grow with their texts.
"""

from array import array
from collections import Counter
from typing import Any

from agent.replay.runner import ReplayedTurn


class Summary:
    def __init__(self) -> None:
        self._statuses: Counter[str] = Counter()
        self._tools: Counter[str] = Counter()
        self._degraded: Counter[str] = Counter()
        self._errors: Counter[str] = Counter()
        self._turns = 0
        self._cited = 0
        self._degraded_turns = 0
        self._same_tools = 0
        self._latencies = array("f")
        self._overlaps = array("f")
        self._conversations = 0

    def add(self, turn: ReplayedTurn) -> None:
        self._turns += 1
        self._conversations += turn.turn == 1
        if turn.error is not None:
            self._errors[turn.error.split(":", 1)[0]] += 1
            return
        self._statuses[turn.status or "unknown"] += 1
        self._cited += bool(turn.citations)
        self._degraded_turns += bool(turn.degraded)
        self._degraded.update(turn.degraded)
        self._tools.update(f"{tool.tool} {tool.status}" for tool in turn.tools)
        self._same_tools += Counter(tool.tool for tool in turn.tools) == Counter(turn.recorded_tools)
        self._latencies.append(turn.latency_ms)
        if turn.overlap is not None:
            self._overlaps.append(turn.overlap)

    @property
    def errors(self) -> int:
        return self._errors.total()

    def as_dict(self) -> dict[str, Any]:
        """JSON of `summary.json`: counts of turns unless the name says otherwise; latencies in milliseconds."""
        return {
            "conversations": self._conversations,
            "turns": self._turns,
            "answered": self._statuses.total(),
            "by_status": dict(self._statuses.most_common()),
            "errors": dict(self._errors.most_common()),
            "degraded": self._degraded_turns,
            "degraded_parts": dict(self._degraded.most_common()),
            "cited": self._cited,
            "tools": dict(self._tools.most_common()),
            "difference": {
                "compared_replies": len(self._overlaps),
                "mean_word_overlap": _rounded(sum(self._overlaps) / len(self._overlaps))
                if self._overlaps
                else None,
                "same_tools_as_recorded": self._same_tools,
            },
            "latency_ms": {
                name: _percentile(self._latencies, share)
                for name, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99), ("max", 1.0))
            },
        }


def _percentile(values: "array[float]", share: float) -> float | None:
    """Nearest rank; None of nothing."""
    if not values:
        return None
    ordered = sorted(values)
    return _rounded(ordered[min(len(ordered) - 1, int(share * len(ordered)))])


def _rounded(value: float) -> float:
    return round(value, 2)
