"""
The tools of one turn, bound to the conversation's owner, with everything they did collected for the commit.

An effect's key counts the valid calls of its own tool within the turn, so a turn that is run again, perhaps by another brain
with other searches in between or a slip in its arguments, gives each of its effects the same key.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from datetime import date
from typing import Any, Protocol

from agent.brain.base import Emitter
from core.clock import Clock
from core.errors import ErrorType
from core.identity import Caller
from core.ids import derived_id
from core.messages import Action
from core.records import OutboxItem
from core.resilience.deadline import Deadline
from tools.protocol import ToolCall, ToolOutcome


class ToolRunner(Protocol):
    """The `ToolErrorHandler`."""

    async def call(self, name: str, arguments: Mapping[str, Any], call: ToolCall) -> ToolOutcome: ...


class TurnTools:
    """The brain's `ToolCaller`. Read `actions`, `outbox`, `degraded`, `hands_over` and `seconds` when the brain is done."""

    def __init__(
        self,
        runner: ToolRunner,
        *,
        caller: Caller,
        conversation_id: str,
        turn_id: str,
        locale: str,
        context: tuple[str, ...],
        deadline: Deadline,
        reload_state: Callable[[], Awaitable[None]],
        out: Emitter,
        clock: Clock,
    ) -> None:
        self._runner = runner
        self._caller = caller
        self._conversation_id = conversation_id
        self._turn_id = turn_id
        self._locale = locale
        self._context = context
        self._deadline = deadline
        self._reload_state = reload_state
        self._out = out
        self._clock = clock
        self._calls_of: Counter[str] = Counter()
        self._valid_calls_of: Counter[str] = Counter()
        self.outcomes: list[ToolOutcome] = []
        self.seconds = 0.0
        self._under_way = 0
        self._stop: Callable[[], object] | None = None

    def stop(self, then: Callable[[], object]) -> None:
        """No further call begins; `then` is called once those that are under way have ended."""
        self._stop = then
        if not self._under_way:
            then()

    @property
    def is_stopped(self) -> bool:
        return self._stop is not None

    async def call(self, tool: str, arguments: Mapping[str, Any]) -> ToolOutcome:
        if self._stop is not None:
            await asyncio.Event().wait()  # until the brain that asks is cancelled
        self._under_way += 1
        try:
            return await self._call(tool, arguments)
        finally:
            self._under_way -= 1
            if self._stop is not None and not self._under_way:
                self._stop()

    async def _call(self, tool: str, arguments: Mapping[str, Any]) -> ToolOutcome:
        self._calls_of[tool] += 1
        step = self._valid_calls_of[tool] + 1
        identity = (self._caller.tenant, self._turn_id, tool)
        call = ToolCall(
            call_id=derived_id("call", *identity, str(self._calls_of[tool])),
            key=derived_id("effect", *identity, str(step)),
            step=step,
            caller=self._caller,
            conversation_id=self._conversation_id,
            turn_id=self._turn_id,
            locale=self._locale,
            deadline=self._deadline,
            context=self._context,
            reload_state=self._reload_state,
        )
        await self._out.status("tool", tool)
        started = self._clock.monotonic()
        outcome = await self._runner.call(tool, arguments, call)
        self.seconds += self._clock.monotonic() - started
        self.outcomes.append(outcome)
        if not _was_refused_unread(outcome):
            self._valid_calls_of[tool] += 1
        return outcome

    @property
    def actions(self) -> tuple[Action, ...]:
        return tuple(outcome.action for outcome in self.outcomes)

    @property
    def outbox(self) -> tuple[OutboxItem, ...]:
        return tuple(item for outcome in self.outcomes for item in outcome.outbox)

    @property
    def degraded(self) -> tuple[tuple[str, str], ...]:
        return tuple(pair for outcome in self.outcomes for pair in outcome.degraded)

    @property
    def searched_as_of(self) -> date | None:
        """The day of the local index that was searched; None when nothing was."""
        for outcome in self.outcomes:
            if isinstance(day := outcome.value.get("as_of"), str):
                return date.fromisoformat(day)
        return None

    @property
    def hands_over(self) -> bool:
        return any(outcome.hands_over for outcome in self.outcomes)


def _was_refused_unread(outcome: ToolOutcome) -> bool:
    """For its arguments alone, so that nothing stands under its key."""
    error = outcome.error
    return error is not None and error.error_type is ErrorType.VALIDATION_ERROR and error.dependency is None
