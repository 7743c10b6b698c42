"""
Two brains as one: the second answers when the first one's model cannot.

The reply says nothing of the change; that the conversation is degraded is said in `BrainReply.degraded`.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, Protocol

import msgspec

from agent.brain.base import Brain, BrainReply, Emitter, ToolCaller, TurnInput
from agent.brain.model_calls import is_effect
from core.clock import Clock
from core.errors import (
    DependencyError,
    DependencyRefusedUs,
    DependencyTimeout,
    DependencyUnavailable,
    ErrorType,
    LeaseLost,
    NetworkFailed,
    RateLimited,
)
from core.explanation import note
from core.messages import BrainName
from core.resilience.deadline import Deadline
from core.resilience.verdict import NOT_TRIED
from core.telemetry.logging import get_logger
from tools.protocol import ToolOutcome

_WITHOUT_MODEL = (("conversation", "model"),)
_REUSED = "search_knowledge"
_NOT_THERE = (DependencyTimeout, DependencyUnavailable, NetworkFailed, DependencyRefusedUs)
"""Failures that the next turn would meet, too; its probe brings the model back."""

log = get_logger(__name__)


class Outages(Protocol):
    """What is known to be down. `core.resilience.degradation.GracefulDegradationHandler` implements it."""

    def is_down(self, dependency: str) -> bool: ...

    def mark_down(self, dependency: str, why: str = "") -> None: ...


class FallbackBrain:
    """
    `reserve_seconds` of the turn's deadline are kept for the second brain, half of what is left at most.

    What the first brain's tools did stays done: the second brain is not let loose on a request that is
    already served.
    """

    name: BrainName = "llm"

    def __init__(
        self, first: Brain, second: Brain, *, outages: Outages, clock: Clock, reserve_seconds: float = 3.0
    ) -> None:
        self._first = first
        self._second = second
        self._outages = outages
        self._clock = clock
        self._reserve_seconds = reserve_seconds

    async def respond(self, turn: TurnInput, tools: ToolCaller, out: Emitter) -> BrainReply:
        if self._outages.is_down("model"):
            note("model_passed_over", why="it is down")
            return await self._without_model(turn, tools, out)
        watched_tools = _WatchedTools(tools)
        watched_out = _WatchedEmitter(out)
        try:
            return await self._first.respond(self._with_reserve(turn), watched_tools, watched_out)
        except LeaseLost:
            raise
        except (DependencyError, RateLimited) as exc:
            log.warning("brain.fell_back", error_type=exc.error_type, reason=exc.reason)
            note("fell_back", error_type=exc.error_type.value, reason=exc.reason)
            if isinstance(exc, _NOT_THERE) and exc.reason not in NOT_TRIED:
                # A breaker needs several calls to open; where few customers chat, each would wait for the silence.
                self._outages.mark_down("model", f"{type(exc).__name__}: {exc}")
        except (
            Exception
        ) as exc:  # a defect of the first brain is no reason to leave a customer without an answer
            log.error("brain.broke", exc_info=exc)
            note("fell_back", error_type=ErrorType.INTERNAL_ERROR.value, reason=type(exc).__name__)
        if watched_out.has_shown:
            await out.reset()
        if watched_tools.effects:
            reply = await self._tell_effects(turn, watched_tools.effects, out)
        else:
            reply = await self._without_model(turn, watched_tools, out)
        return dataclasses.replace(reply, spent=None)

    def _with_reserve(self, turn: TurnInput) -> TurnInput:
        left = turn.deadline.remaining()
        share = left - min(self._reserve_seconds, left / 2)
        return dataclasses.replace(turn, deadline=Deadline(self._clock, share))

    async def _without_model(self, turn: TurnInput, tools: ToolCaller, out: Emitter) -> BrainReply:
        reply = await self._second.respond(turn, tools, out)
        return dataclasses.replace(reply, degraded=(*reply.degraded, *_WITHOUT_MODEL))

    async def _tell_effects(self, turn: TurnInput, effects: list[ToolOutcome], out: Emitter) -> BrainReply:
        text = "\n\n".join(dict.fromkeys(outcome.summary for outcome in effects))
        await out.text(text)
        return BrainReply(
            text=text,
            state=msgspec.structs.replace(turn.state, flow=None, offer=None, waiting=()),
            brain=self._second.name,
            degraded=_WITHOUT_MODEL,
        )


class _WatchedTools:
    """Remembers effects, and does not search twice for the same words."""

    def __init__(self, tools: ToolCaller) -> None:
        self._tools = tools
        self._found: dict[bytes, ToolOutcome] = {}
        self.effects: list[ToolOutcome] = []

    async def call(self, tool: str, arguments: Mapping[str, Any], *, asks_first: bool = False) -> ToolOutcome:
        if tool != _REUSED:
            outcome = await self._tools.call(tool, arguments, asks_first=asks_first)
            if is_effect(outcome):
                self.effects.append(outcome)
            return outcome
        words = msgspec.json.encode(arguments, order="sorted")
        if words not in self._found:
            self._found[words] = await self._tools.call(tool, arguments)
        return self._found[words]


class _WatchedEmitter:
    def __init__(self, out: Emitter) -> None:
        self._out = out
        self.has_shown = False

    async def status(self, phase: str, tool: str | None = None) -> None:
        await self._out.status(phase, tool)

    async def text(self, piece: str) -> None:
        self.has_shown = True
        await self._out.text(piece)

    async def reset(self) -> None:
        self.has_shown = False
        await self._out.reset()
