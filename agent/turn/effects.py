"""
The tools of one turn, bound to the conversation's owner, with everything they did collected for the commit.

An effect's key is made of the message that asked for it and counts the valid calls of its own tool for that message. So a turn
that is run again, perhaps by another brain with other searches in between or a slip in its arguments, gives each of its effects
the same key; and so do two turns that both answer the message, because SQL and the journal grouped the messages differently.
"""

import asyncio
import re
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import date
from typing import Any, Protocol

from agent.brain.base import Emitter
from core.clock import Clock
from core.errors import ErrorType
from core.identity import Caller
from core.ids import derived_id
from core.messages import Action, Message
from core.records import OutboxItem
from core.resilience.deadline import Deadline
from state.identifiers import turn_id_of
from tools.protocol import ToolCall, ToolOutcome

_WORD = re.compile(r"\w+")


class ToolRunner(Protocol):
    """The `ToolErrorHandler`."""

    def has_effect(self, name: str) -> bool: ...

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
        fresh: Sequence[Message],
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
        self._fresh = fresh
        self._context = context
        self._deadline = deadline
        self._reload_state = reload_state
        self._out = out
        self._clock = clock
        self._calls_of: Counter[str] = Counter()
        self._valid_calls_of: Counter[str] = Counter()
        self._valid_calls_for: Counter[tuple[str, str]] = Counter()
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
        asking = asked_by(self._fresh, arguments)
        # A tool that only reads needs none.
        key, *other_keys = self._keys(tool, asking, step) if self._runner.has_effect(tool) else ("",)
        call = ToolCall(
            call_id=derived_id("call", self._caller.tenant, self._turn_id, tool, str(self._calls_of[tool])),
            key=key,
            other_keys=tuple(other_keys),
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
            self._valid_calls_for[tool, asking.message_id] += 1
        return outcome

    def _keys(self, tool: str, asking: Message, step: int) -> list[str]:
        """First the call's own. In a turn of several messages, an earlier run may have used one of the others for it."""
        first = self._valid_calls_for[tool, asking.message_id] + 1
        keys = [self._key(tool, asking, n) for n in range(first, step + 1)]
        if len(self._fresh) == 1:
            return keys[:1]
        others = (message for message in self._fresh if message is not asking)
        return keys + [self._key(tool, message, n) for message in others for n in range(1, step + 1)]

    def _key(self, tool: str, asking: Message, n: int) -> str:
        """Under the turn that the message would have to itself, so that most keys are their turns'."""
        tenant = self._caller.tenant
        alone = turn_id_of(tenant, self._conversation_id, asking.message_id)
        return derived_id("effect", tenant, alone, tool, str(n))

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


def asked_by(fresh: Sequence[Message], arguments: Mapping[str, Any]) -> Message:
    """The message whose words stand in the arguments; where that can be said of none more than of others, the newest."""
    if len(fresh) == 1:
        return fresh[0]
    words = set(_WORD.findall(repr(sorted(arguments.items())).casefold()))
    return max(
        fresh, key=lambda message: (len(words & set(_WORD.findall(message.text.casefold()))), message.seq)
    )


def _was_refused_unread(outcome: ToolOutcome) -> bool:
    """For its arguments alone, so that nothing stands under its key."""
    error = outcome.error
    return error is not None and error.error_type is ErrorType.VALIDATION_ERROR and error.dependency is None
