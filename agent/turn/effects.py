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
from dataclasses import dataclass, replace
from datetime import date
from typing import Any, Protocol

import msgspec

from agent.brain.base import Emitter
from agent.turn.calling import HandedOver
from agent.turn.sentences import sentence
from core.clock import Clock
from core.errors import ErrorType
from core.identity import Caller
from core.ids import derived_id
from core.messages import Action, Message
from core.records import OutboxItem
from core.resilience.deadline import Deadline
from state.identifiers import turn_id_of
from tools.protocol import CONFIRMATION_NEEDED, ToolCall, ToolOutcome

_WORD = re.compile(r"\w+")


class ToolRunner(Protocol):
    """The `ToolErrorHandler`."""

    def has_effect(self, name: str) -> bool: ...

    async def call(self, name: str, arguments: Mapping[str, Any], call: ToolCall) -> ToolOutcome: ...


@dataclass(frozen=True, slots=True)
class AskedCall:
    tool: str
    arguments: dict[str, Any]
    question: str


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
        replies: tuple[str, ...] = (),
        deadline: Deadline,
        reload_state: Callable[[], Awaitable[None]],
        out: Emitter,
        clock: Clock,
        confirmed: str | None = None,
    ) -> None:
        self._runner = runner
        self._caller = caller
        self._conversation_id = conversation_id
        self._turn_id = turn_id
        self._locale = locale
        self._fresh = fresh
        self._context = context
        self._replies = replies
        self._deadline = deadline
        self._reload_state = reload_state
        self._out = out
        self._clock = clock
        self.confirmed = confirmed
        self.asked: AskedCall | None = None
        """The first call of this turn that waits for the customer's yes."""
        self.put_off: str | None = None
        """What the customer reads of further ones."""
        self._calls_of: Counter[str] = Counter()
        self._valid_calls_of: Counter[str] = Counter()
        self._valid_calls_for: Counter[tuple[str, str]] = Counter()
        self.handed_over: HandedOver | None = None
        self._ended: dict[int, ToolOutcome] = {}
        self._begun = 0
        self.seconds = 0.0
        """While at least one call was under way."""
        self._under_way = 0
        self._under_way_since = 0.0
        self._stop: Callable[[], object] | None = None

    def stop(self, then: Callable[[], object]) -> None:
        """No further call begins; `then` is called once those that are under way have ended."""
        self._stop = then
        if not self._under_way:
            then()

    @property
    def is_stopped(self) -> bool:
        return self._stop is not None

    async def call(self, tool: str, arguments: Mapping[str, Any], *, asks_first: bool = False) -> ToolOutcome:
        if self._stop is not None:
            await asyncio.Event().wait()  # until the brain that asks is cancelled
        if not self._under_way:
            self._under_way_since = self._clock.monotonic()
        self._under_way += 1
        try:
            return await self._call(tool, arguments, asks_first=asks_first)
        finally:
            self._under_way -= 1
            if not self._under_way:
                self.seconds += self._clock.monotonic() - self._under_way_since
            if self._stop is not None and not self._under_way:
                self._stop()

    async def _call(self, tool: str, arguments: Mapping[str, Any], *, asks_first: bool) -> ToolOutcome:
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
            replies=self._replies,
            confirmed=self.confirmed,
            asks_first=asks_first,
            reload_state=self._reload_state,
        )
        self._begun += 1
        place = self._begun
        await self._out.status("tool", tool)
        outcome = await self._runner.call(tool, arguments, call)
        if outcome.action.reason == CONFIRMATION_NEEDED:
            outcome = self._asked_about(outcome, arguments)
        if outcome.hands_over and self.handed_over is None:
            self.handed_over = HandedOver(key, str(arguments.get("reason", "")))
        self._ended[place] = outcome
        if not _was_refused_unread(outcome):
            self._valid_calls_of[tool] += 1
            self._valid_calls_for[tool, asking.message_id] += 1
        return outcome

    def _asked_about(self, outcome: ToolOutcome, arguments: Mapping[str, Any]) -> ToolOutcome:
        """One yes can only be for one thing: a second one that needs a yes is not asked about beside it, and that is said."""
        asked = AskedCall(outcome.action.tool, dict(arguments), outcome.summary)
        self.asked = self.asked or asked
        if (asked.tool, asked.arguments) == (self.asked.tool, self.asked.arguments):
            return outcome
        self.put_off = sentence("one_at_a_time", self._locale)
        return replace(
            outcome,
            action=msgspec.structs.replace(outcome.action, summary=self.put_off),
            value={
                "next": "Nothing was done: the customer answers another question first, and is told to ask again."
            },
        )

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
    def outcomes(self) -> tuple[ToolOutcome, ...]:
        """In the order in which the calls began."""
        return tuple(self._ended[place] for place in sorted(self._ended))

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
        return self.handed_over is not None


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
