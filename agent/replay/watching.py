"""
See what a replayed turn did inside of this process: which tools it called with what, and what was done outside in its name.
"""

import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from agent.replay.endings import Effect
from agent.turn.effects import ToolRunner
from core.ids import derived_id, receipt_for
from tools.protocol import ToolCall, ToolOutcome


@dataclass(frozen=True, slots=True)
class SeenCall:
    arguments: dict[str, Any]
    outcome: ToolOutcome


class WatchedTools:
    """Implements `agent.turn.effects.ToolRunner` around another; `calls` are those of each turn, in the order of their ends."""

    def __init__(self, runner: ToolRunner) -> None:
        self._runner = runner
        self.calls: dict[str, list[SeenCall]] = {}
        self.conversations: dict[str, str] = {}
        """By the receipts of what may be done in their name."""
        self.notes: dict[str, str] = {}
        """The receipt of a notification by what it is called at its channel."""

    def has_effect(self, name: str) -> bool:
        return self._runner.has_effect(name)

    async def call(self, name: str, arguments: Mapping[str, Any], call: ToolCall) -> ToolOutcome:
        for key in (call.key, *call.other_keys):
            if key:
                receipt = receipt_for(key)
                self.conversations[receipt] = call.conversation_id
                self.notes[derived_id("note", key)] = receipt
        outcome = await self._runner.call(name, arguments, call)
        self.calls.setdefault(call.turn_id, []).append(SeenCall(dict(arguments), outcome))
        return outcome


@dataclass(slots=True)
class SentMessages:
    """The console that a replay's notifications are printed to: `sent` is what each was called, as often as it was sent."""

    console: io.StringIO = field(default_factory=io.StringIO)

    def effects(self, tools: WatchedTools) -> Iterator[Effect]:
        for line in self.console.getvalue().splitlines():
            reference = json.loads(line)["reference"]
            yield Effect(receipt=tools.notes.get(reference, reference), what=f"notification {reference}")
