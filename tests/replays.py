"""
Folders of replayed turns, as `careline replay` leaves them, made for a test.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from agent.replay.results import ReplayResults, TimedTurn, read_results
from agent.replay.rows import Finding, ReplayedTool

SEARCH = ReplayedTool("search_knowledge", "succeeded")


def turn(conversation: str = "c1", number: int = 1, **fields: Any) -> TimedTurn:
    """An answered turn that cites an article, but for what `fields` say otherwise."""
    usual: dict[str, Any] = {
        "customer": "Can I return a kettle?",
        "reply": "Within 30 days [1]",
        "status": "answered",
        "brain": "embedded",
        "tools": (SEARCH,),
        "citations": ("returns",),
        "latency_ms": 50.0,
    }
    return TimedTurn(conversation=conversation, turn=number, **{**usual, **fields})


def finding(rule: str = "internal_text", detail: str = "Traceback") -> Finding:
    return Finding(rule, detail)


def write_run(folder: Path, turns: Iterable[TimedTurn], facts: dict[str, Any] | None = None) -> ReplayResults:
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "turns.jsonl").open("wb") as rows:
        for each in turns:
            rows.write(msgspec.json.encode(each) + b"\n")
    (folder / "run.json").write_bytes(msgspec.json.encode(facts or {}))
    return read_results(folder)
