"""
What a replay says of each customer turn: one row of `turns.jsonl`.
"""

from typing import Any

import msgspec


class ReplayedTool(msgspec.Struct, frozen=True, omit_defaults=True):
    """`args` and `result` where the replay could see them: in this process, not over HTTP. `receipt` is the effect's."""

    tool: str
    status: str
    error_type: str | None = None
    args: dict[str, Any] | None = None
    result: Any = None
    receipt: str | None = None
    reason: str | None = None


class Finding(msgspec.Struct, frozen=True):
    """Something that must not be: `rule` names the invariant or expectation, `detail` says what was seen and what was to be."""

    rule: str
    detail: str


class ReplayedTurn(msgspec.Struct, frozen=True, kw_only=True):
    """
    One row of `turns.jsonl`. `turn` counts the conversation's customer turns from 1; `latency_ms` is what the customer waited.

    `overlap` (0…1, see `differences`) is None where the recording has no answer; `error` is set when there was no reply. `faults`
    are the injected faults that this turn met (`dependency:kind`), `tokens` what language models were given and gave, `steps` the
    explained turn. `turn_id` is the agent's: no two turns have one.
    """

    conversation: str
    turn: int
    customer: str
    reply: str = ""
    status: str | None = None
    brain: str | None = None
    degraded: tuple[str, ...] = ()
    tools: tuple[ReplayedTool, ...] = ()
    citations: tuple[str, ...] = ()
    recorded_reply: str = ""
    recorded_tools: tuple[str, ...] = ()
    overlap: float | None = None
    latency_ms: float = 0.0
    error: str | None = None
    faults: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()
    handed_over: bool = False
    tokens: int = 0
    turn_id: str | None = None
    steps: tuple[dict[str, Any], ...] = ()
