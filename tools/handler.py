"""
Run one tool call and turn whatever happens into a `ToolOutcome`: a failed tool is a value, an exception for
nobody.

Validates, authorises, and tells what became of it. Reading is carried out here, effects in `tools.effects`; what a customer
reads comes from `tools.sentences`, what a tool does from the tool. The model's words are treated as if an attacker had chosen
each of them.
"""

from collections.abc import Mapping
from typing import Any, Protocol, TypeVar

import msgspec

from core.clock import Clock
from core.errors import (
    ConcurrentAccess,
    DependencyRejectedInput,
    DuplicateFound,
    PermissionDenied,
    ToolExecutionFailed,
    ToolMisconfigured,
    ValidationFailed,
)
from core.explanation import attempts_at, is_explained, is_recorded, note
from core.messages import Action, ActionStatus
from core.resilience.guard import Guard
from core.telemetry.logging import StructuredErrorLogger, get_logger
from tools.arguments import DeclaredArguments, ReadsArguments
from tools.classify import dependency_of
from tools.effects import Attempt, Effects
from tools.failure_log import FailureLog, is_refusal
from tools.guarded import GuardedTools
from tools.ports import EffectLedger
from tools.protocol import (
    CONFIRMATION_NEEDED,
    AnyTool,
    AsksFirst,
    DescribedElsewhere,
    EffectTool,
    KnownTools,
    Tool,
    ToolCall,
    ToolOutcome,
    ToolResult,
    fingerprint,
)
from tools.recording import record_call
from tools.sentences import error_sentence

T = TypeVar("T")

_UNKNOWN_TOOL = "unknown"
_SHOWN_FIELD_ERRORS = 10

_log = get_logger(__name__)


class ToolObserver(Protocol):
    """Hears of every finished call. `core.telemetry.metrics` implements it."""

    def tool_call_ended(self, tool: str, *, status: str, error_type: str | None, seconds: float) -> None: ...


class ToolErrorHandler:
    """`guards` holds one guard for every dependency that a tool of the registry names."""

    def __init__(
        self,
        registry: KnownTools,
        *,
        guards: Mapping[str, Guard],
        ledger: EffectLedger,
        clock: Clock,
        errors: StructuredErrorLogger,
        observer: ToolObserver | None = None,
    ) -> None:
        for tool in registry:
            if tool.dependency is not None and tool.dependency not in guards:
                raise ToolMisconfigured(f"{tool.name} needs a guard for {tool.dependency}")
        self._registry = registry
        self._arguments: dict[str, ReadsArguments] = {
            tool.name: tool if isinstance(tool, DescribedElsewhere) else DeclaredArguments(tool.arguments)
            for tool in registry
        }
        self._guarded = GuardedTools(guards)
        self._failures = FailureLog(errors, clock)
        self._effects = Effects(registry, ledger=ledger, guarded=self._guarded, failures=self._failures)
        # Asking a protocol costs 20 µs, so each tool is asked once.
        self._reading_tools: dict[str, Tool[Any]] = {
            tool.name: tool for tool in registry if not isinstance(tool, EffectTool)
        }
        self._able_to_ask = {tool.name: tool for tool in registry if isinstance(tool, AsksFirst)}
        self._clock = clock
        self._observer = observer

    def has_effect(self, name: str) -> bool:
        """Whether a call of it needs a key; False for a tool that is not there."""
        return name in self._effects

    async def call(self, name: str, arguments: Mapping[str, Any], call: ToolCall) -> ToolOutcome:
        """Never raises; cancellation passes through."""
        started = self._clock.monotonic()
        asked_before = attempts_at(self._dependency_of(name)) if is_explained() else 0
        attempt = Attempt()
        try:
            call = await self._effects.placed(name, call)
            outcome = await self._run(name, arguments, call, attempt)
        except Exception as exc:  # a failed tool must not take the turn down with it
            before = await self._effects.finished_before(exc, name, call)
            outcome = _outcome(*before, call) if before else self._failed(exc, name, call, attempt)
        if self._observer is not None:
            self._observer.tool_call_ended(
                outcome.action.tool,
                status=outcome.action.status,
                error_type=outcome.action.error_type,
                seconds=self._clock.monotonic() - started,
            )
        if is_explained():
            self._explain(name, arguments, outcome, asked_before, self._clock.monotonic() - started)
            if is_recorded():
                record_call(arguments, outcome)
        return outcome

    def _dependency_of(self, name: str) -> str:
        return (self._registry.find(name).dependency or "") if name in self._registry else ""

    def _explain(
        self, name: str, arguments: Mapping[str, Any], outcome: ToolOutcome, asked_before: int, seconds: float
    ) -> None:
        dependency = self._dependency_of(name)
        guard = self._guarded.guard_of(dependency)
        action = outcome.action
        note(
            "tool_called",
            tool=action.tool,
            arguments=dict(arguments),
            status=action.status.value,
            error_type=action.error_type,
            reason=action.reason,
            receipt=action.receipt,
            reference=action.reference,
            dependency=dependency or None,
            attempts=attempts_at(dependency) - asked_before,
            breaker=guard.breaker.state if guard is not None else None,
            degraded=[list(pair) for pair in outcome.degraded],
            ms=round(seconds * 1000, 2),
            found=[
                {
                    "article": passage.article_id,
                    "title": passage.title,
                    "heading": passage.heading,
                    "score": round(passage.score, 4),
                    "cosine": None if passage.cosine is None else round(passage.cosine, 4),
                    "lexical": round(passage.lexical, 4),
                }
                for passage in outcome.passages
            ],
        )

    async def _run(
        self, name: str, arguments: Mapping[str, Any], call: ToolCall, attempt: Attempt
    ) -> ToolOutcome:
        tool = self._registry.find(name)
        if tool.needs_account and not call.caller.has_account:
            raise PermissionDenied("only for customers who are signed in", reason="permission")
        parsed = self._arguments[tool.name].read(arguments)
        asking = self._able_to_ask.get(tool.name)
        if asking is None and call.asks_first and tool.has_effect:
            raise PermissionDenied("the customer did not ask for it", reason="not_asked_for")
        must_ask = asking is not None and (asking.asks_first or call.asks_first)
        if asking is not None and must_ask and call.confirmed != fingerprint(tool.name, arguments):
            return _outcome(tool.name, _asked(asking, parsed, call), call)
        try:
            result = await self._result(tool, parsed, call, attempt)
        except ConcurrentAccess:
            if call.reload_state is None:
                raise
            _log.warning("tool.reloads_state", tool=tool.name, call_id=call.call_id)
            await call.reload_state()
            attempt.retries += 1
            result = await self._result(tool, parsed, call, attempt)
        return _outcome(tool.name, result, call)

    async def _result(
        self, tool: AnyTool, arguments: msgspec.Struct, call: ToolCall, attempt: Attempt
    ) -> ToolResult:
        reading = self._reading_tools.get(tool.name)
        if reading is None:
            return await self._effects.run(tool.name, arguments, call, attempt)
        return await self._guarded.run(reading, lambda: reading.run(arguments, call), call, may_repeat=True)

    def _failed(self, exc: Exception, name: str, call: ToolCall, attempt: Attempt) -> ToolOutcome:
        # A name that no tool has was made up by a model: it may hold anything.
        shown = name if name in self._registry else _UNKNOWN_TOOL
        error = self._failures.told(exc, shown, call, retries=attempt.retries)
        value: dict[str, Any] = {"error": error.error_type.value, "reason": error.reason}
        if isinstance(exc, ValidationFailed):
            value["fields"] = [
                {"field": str(field.loc[-1]), "problem": field.msg}
                for field in exc.fields[:_SHOWN_FIELD_ERRORS]
            ]
        if isinstance(exc, ToolExecutionFailed):
            value.update(exc.told)
        existing = exc.existing if isinstance(exc, DuplicateFound) else None
        if existing is not None:
            value["existing"] = existing
        summary = error_sentence(shown, error, call.locale)
        action = Action(
            call_id=call.call_id,
            tool=shown,
            status=ActionStatus.REFUSED if is_refusal(error) else ActionStatus.FAILED,
            reference=existing,
            error_type=error.error_type.value,
            reason=error.reason,
            summary=summary,
        )
        return ToolOutcome(action=action, value=value, degraded=self._degraded_by(exc, shown), error=error)

    def _degraded_by(self, exc: Exception, name: str) -> tuple[tuple[str, str], ...]:
        """The feature that the customer misses, when a dependency took it away."""
        dependency = dependency_of(exc)
        if dependency is None or name not in self._registry or isinstance(exc, DependencyRejectedInput):
            return ()
        return ((self._registry.find(name).feature, dependency),)


def _asked(tool: AsksFirst, arguments: msgspec.Struct, call: ToolCall) -> ToolResult:
    return ToolResult(
        value={"next": "The customer is being asked for a yes. Nothing was done yet; do not ask again."},
        summary=tool.question(arguments, call.locale),
        status=ActionStatus.REFUSED,
        reason=CONFIRMATION_NEEDED,
    )


def _outcome(tool: str, result: ToolResult, call: ToolCall) -> ToolOutcome:
    action = Action(
        call_id=call.call_id,
        tool=tool,
        status=result.status,
        receipt=result.receipt,
        reference=result.reference,
        reason=result.reason,
        summary=result.summary,
    )
    return ToolOutcome(
        action=action,
        value=result.value,
        passages=result.passages,
        outbox=result.outbox,
        hands_over=result.hands_over,
        degraded=result.degraded,
    )
