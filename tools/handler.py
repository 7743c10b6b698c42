"""
Run one tool call and turn whatever happens into a `ToolOutcome`: a failed tool is a value, an exception for
nobody.

Validates, authorises, guards, keeps the ledger of effects, classifies and logs. What a customer reads comes
from `tools.sentences`, what a tool does from the tool. The model's words are treated as if an attacker had
chosen each of them.
"""

import dataclasses
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import suppress
from functools import cached_property
from typing import Any, Literal, Protocol, TypeVar

import msgspec

from core.clock import Clock
from core.errors import (
    CarelineError,
    ConcurrentAccess,
    DataIntegrityFailed,
    DependencyRejectedInput,
    DependencyUnavailable,
    DuplicateFound,
    ErrorContext,
    ErrorType,
    FieldError,
    PermissionDenied,
    ToolMisconfigured,
    ValidationFailed,
)
from core.ids import new_id, receipt_for
from core.messages import Action, ActionStatus
from core.records import EffectRecord, OutboxItem
from core.resilience.guard import Guard
from core.telemetry.logging import StructuredErrorLogger, get_logger
from tools.classify import can_be_put_off, context_of, dependency_of, fate_is_unknown
from tools.ports import EffectLedger
from tools.protocol import AnyTool, EffectTool, Tool, ToolCall, ToolOutcome, ToolResult, ToolTraits
from tools.sentences import error_sentence

T = TypeVar("T")

_UNKNOWN_TOOL = "unknown"
_UNKNOWN_FIELD = "unknown"
_FIELD_NAME = re.compile(r"[a-z_]{1,40}")
_NOT_STORABLE = re.compile("[\x00\ud800-\udfff]")
"""PostgreSQL takes no NUL, and no store takes half a character."""
_SHOWN_FIELD_ERRORS = 10
_LONGEST_FIELD_MESSAGE = 200
_REFUSALS = frozenset({ErrorType.PERMISSION_DENIED, ErrorType.TOOL_NOT_FOUND})
_LEDGER_STATUS: Mapping[ActionStatus, Literal["confirmed", "queued", "unknown", "failed"]] = {
    ActionStatus.SUCCEEDED: "confirmed",
    ActionStatus.QUEUED: "queued",
    ActionStatus.UNKNOWN: "unknown",
    ActionStatus.FAILED: "failed",
    ActionStatus.REFUSED: "failed",
}

_log = get_logger(__name__)


class KnownTools(Protocol):
    """Which tools there are. `tools.registry` implements it."""

    def __iter__(self) -> Iterator[AnyTool]: ...

    def __contains__(self, name: object) -> bool: ...

    def find(self, name: str) -> AnyTool:
        """Raises ToolNotFound."""
        ...


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
        self._arguments = {tool.name: _Arguments(tool.arguments) for tool in registry}
        # Asking a protocol costs 20 µs, so each tool is asked once.
        self._effect_tools: dict[str, EffectTool[Any, Any]] = {}
        self._reading_tools: dict[str, Tool[Any]] = {}
        for tool in registry:
            if isinstance(tool, EffectTool):
                self._effect_tools[tool.name] = tool
            else:
                self._reading_tools[tool.name] = tool
        self._guards = dict(guards)
        self._ledger = ledger
        self._clock = clock
        self._errors = errors
        self._observer = observer

    def has_effect(self, name: str) -> bool:
        """Whether a call of it needs a key; False for a tool that is not there."""
        return name in self._effect_tools

    async def call(self, name: str, arguments: Mapping[str, Any], call: ToolCall) -> ToolOutcome:
        """Never raises; cancellation passes through."""
        started = self._clock.monotonic()
        attempt = _Attempt()
        try:
            call = await self._placed(name, call)
            outcome = await self._run(name, arguments, call, attempt)
        except Exception as exc:  # a failed tool must not take the turn down with it
            outcome = await self._finished_before(exc, name, call) or self._failed(exc, name, call, attempt)
        if self._observer is not None:
            self._observer.tool_call_ended(
                outcome.action.tool,
                status=outcome.action.status,
                error_type=outcome.action.error_type,
                seconds=self._clock.monotonic() - started,
            )
        return outcome

    async def _placed(self, name: str, call: ToolCall) -> ToolCall:
        """
        With the key that an earlier run of this turn used for the same step, else the first that the turn has
        not used for another.
        """
        if not call.other_keys or name not in self._registry:
            return call
        used: dict[str, int] = {}
        for key in (call.key, *call.other_keys):
            # What cannot be asked now is met again under its key, when SQL is back.
            with suppress(CarelineError):
                stored = await self._ledger.effect(call.tenant, key)
                if stored is not None and (stored.turn_id, stored.tool) == (call.turn_id, name):
                    used[key] = stored.step
        before = [key for key, step in used.items() if step == call.step]
        free = [key for key in (call.key, *call.other_keys) if key not in used]
        return dataclasses.replace(call, key=(before or free or [call.key])[0])

    async def _finished_before(self, exc: Exception, name: str, call: ToolCall) -> ToolOutcome | None:
        """
        What an earlier run of this turn achieved under the same key, where this run did not get as far as
        asking: it wants something that is not valid, or cannot plan.
        """
        if name not in self._effect_tools:
            return None
        if dependency_of(exc) == "sql":  # it was the ledger that could not be asked
            return None
        try:
            stored = await self._ledger.effect(call.tenant, call.key)
        except CarelineError as unknown:
            self._log_error(unknown, name, call, retries=0)
            return None
        if stored is None or stored.status not in ("confirmed", "queued", "unknown"):
            return None
        _log.info("tool.effect_known", tool=stored.tool, call_id=call.call_id, status=stored.status)
        return _outcome(stored.tool, call, _recalled(stored))

    async def _run(
        self, name: str, arguments: Mapping[str, Any], call: ToolCall, attempt: "_Attempt"
    ) -> ToolOutcome:
        tool = self._registry.find(name)
        if tool.needs_account and not call.caller.has_account:
            raise PermissionDenied("only for customers who are signed in", reason="permission")
        parsed = self._arguments[tool.name].read(arguments)
        try:
            result = await self._result(tool, parsed, call, attempt)
        except ConcurrentAccess:
            if call.reload_state is None:
                raise
            _log.warning("tool.reloads_state", tool=tool.name, call_id=call.call_id)
            await call.reload_state()
            attempt.retries += 1
            result = await self._result(tool, parsed, call, attempt)
        return _outcome(tool.name, call, result)

    async def _result(
        self, tool: AnyTool, arguments: msgspec.Struct, call: ToolCall, attempt: "_Attempt"
    ) -> ToolResult:
        if (effect := self._effect_tools.get(tool.name)) is not None:
            return await self._effect(effect, arguments, call, attempt)
        reading = self._reading_tools[tool.name]
        return await self._guarded(reading, lambda: reading.run(arguments, call), call, may_repeat=True)

    async def _effect(
        self, tool: EffectTool[Any, Any], arguments: msgspec.Struct, call: ToolCall, attempt: "_Attempt"
    ) -> ToolResult:
        """
        Plan, store the plan, carry it out, store what came of it.

        A plan that stands under the key already comes from an earlier run of this turn. It goes first,
        whatever the brain wants now: finished, its outcome is said again; unfinished, it is carried out only
        where that can do no harm.
        """
        intent = await tool.plan(arguments, call)
        planned = EffectRecord(
            tenant=call.tenant,
            key=call.key,
            turn_id=call.turn_id,
            step=call.step,
            tool=tool.name,
            arguments={"run": attempt.run, "intent": msgspec.to_builtins(intent)},
        )
        stored = await self._ledger.begin_effect(planned)
        if stored.status in ("confirmed", "queued", "unknown"):
            _log.info("tool.effect_known", tool=stored.tool, call_id=call.call_id, status=stored.status)
            return _recalled(stored)
        if stored.tool != tool.name:
            tool = self._planned_tool(stored)
        intent = msgspec.convert(stored.arguments["intent"], type=tool.intent)
        is_anothers = stored.arguments["run"] != attempt.run and not stored.is_journaled
        if stored.status == "intent" and is_anothers and not tool.is_repeatable:
            result = tool.unsure(intent, call)
        elif stored.is_journaled and not tool.is_repeatable:
            result = self._put_off_until_sql_is_asked(tool, intent, call)
        else:
            if stored.status == "failed":
                # Begun again: a crash from here on must not read as "nothing happened".
                await self._ledger.finish_effect(dataclasses.replace(stored, status="intent"))
            result = await self._carried_out(tool, intent, stored, call)
        if result.status is ActionStatus.UNKNOWN:
            _log.error(
                "tool.effect_unknown", tool=tool.name, call_id=call.call_id, receipt=receipt_for(call.key)
            )
        await self._record(_finished(stored, result), call)
        return result

    @staticmethod
    def _put_off_until_sql_is_asked(
        tool: EffectTool[Any, Any], intent: msgspec.Struct, call: ToolCall
    ) -> ToolResult:
        """
        A replica that reaches SQL may be doing the same, and the dependency does not recognise a repeat: one
        place decides, SQL's outbox.
        """
        promised = tool.put_off(intent, call)
        if promised is None:
            raise DependencyUnavailable("sql", f"{tool.name} must be noted there", may_have_happened=False)
        return dataclasses.replace(promised, degraded=())

    async def _carried_out(
        self, tool: EffectTool[Any, Any], intent: msgspec.Struct, stored: EffectRecord, call: ToolCall
    ) -> ToolResult:
        try:
            return await self._guarded(
                tool, lambda: tool.carry_out(intent, call), call, may_repeat=tool.is_repeatable
            )
        except ConcurrentAccess:
            raise
        except Exception as exc:  # becomes a doubt or a promise, or is raised again as a failure
            instead: ToolResult | None = None
            if fate_is_unknown(exc) and not tool.is_repeatable:
                instead = tool.unsure(intent, call)
            elif can_be_put_off(exc):
                instead = tool.put_off(intent, call)
            if instead is None:
                await self._record(dataclasses.replace(stored, status="failed"), call)
                raise
            self._log_error(exc, tool.name, call, retries=0)
            return instead

    async def _record(self, effect: EffectRecord, call: ToolCall) -> None:
        """
        Best effort: what has happened has happened, and the customer is told so whether or not it could be
        noted.

        The record then stays at `intent`, from which a re-run proceeds with care.
        """
        try:
            await self._ledger.finish_effect(effect)
        except CarelineError as exc:
            self._log_error(exc, effect.tool, call, retries=0)

    async def _guarded(
        self, tool: ToolTraits[Any], attempt: Callable[[], Awaitable[T]], call: ToolCall, *, may_repeat: bool
    ) -> T:
        if tool.dependency is None:
            return await attempt()
        return await self._guards[tool.dependency].run(attempt, deadline=call.deadline, may_repeat=may_repeat)

    def _planned_tool(self, stored: EffectRecord) -> EffectTool[Any, Any]:
        name = self._registry.find(stored.tool).name
        if name not in self._effect_tools:
            raise DataIntegrityFailed("a stored plan names a tool without effects")
        return self._effect_tools[name]

    def _failed(self, exc: Exception, name: str, call: ToolCall, attempt: "_Attempt") -> ToolOutcome:
        # A name that no tool has was made up by a model: it may hold anything.
        shown = name if name in self._registry else _UNKNOWN_TOOL
        error = self._log_error(exc, shown, call, retries=attempt.retries)
        is_refusal = error.dependency is None and error.error_type in _REFUSALS
        value: dict[str, Any] = {"error": error.error_type.value, "reason": error.reason}
        if isinstance(exc, ValidationFailed):
            value["fields"] = [
                {"field": str(field.loc[-1]), "problem": field.msg}
                for field in exc.fields[:_SHOWN_FIELD_ERRORS]
            ]
        existing = exc.existing if isinstance(exc, DuplicateFound) else None
        if existing is not None:
            value["existing"] = existing
        summary = error_sentence(shown, error, call.locale)
        action = Action(
            call_id=call.call_id,
            tool=shown,
            status=ActionStatus.REFUSED if is_refusal else ActionStatus.FAILED,
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

    def _log_error(self, exc: Exception, tool: str, call: ToolCall, *, retries: int) -> ErrorContext:
        error = context_of(exc, tool=tool, call=call, at=self._clock.now(), retry_count=retries)
        self._errors.log_tool_error(error, exc=exc)
        if error.dependency is None and error.error_type in _REFUSALS:
            _log.warning(
                "tool.refused",
                tool=tool,
                call_id=call.call_id,
                conversation_id=call.conversation_id,
                customer_id=call.caller.customer_id,
                caller=call.caller.kind.value,
                error_type=error.error_type.value,
                reason=error.reason,
            )
        return error


class _Attempt:
    """
    What is known of one call while it runs. `run` tells its own plan in the ledger from that of an earlier
    run.
    """

    def __init__(self) -> None:
        self.retries = 0

    @cached_property
    def run(self) -> str:
        return new_id("run")


class _Arguments:
    """Reads what a model gives as a tool's arguments."""

    def __init__(self, wanted: type[msgspec.Struct]) -> None:
        self._wanted = wanted
        self._fields = {field.encode_name: field for field in msgspec.structs.fields(wanted)}

    def read(self, given: Mapping[str, Any]) -> msgspec.Struct:
        """
        Raises:
            ValidationFailed: naming every wrong field at once.
        """
        if given.keys() <= self._fields.keys() and all(map(_is_storable, given.values())):
            with suppress(msgspec.ValidationError):
                return msgspec.convert(given, type=self._wanted, strict=True)
        return self._field_by_field(given)

    def _field_by_field(self, given: Mapping[str, Any]) -> msgspec.Struct:
        wrong = [
            FieldError(
                ("arguments", name if _FIELD_NAME.fullmatch(name) else _UNKNOWN_FIELD),
                "is not known",
                "unknown",
            )
            for name in map(str, given)
            if name not in self._fields
        ]
        values: dict[str, Any] = {}
        for name, field in self._fields.items():
            if name not in given:
                if field.required:
                    wrong.append(FieldError(("arguments", name), "is required", "missing"))
                continue
            value = given[name]
            if not _is_storable(value):
                wrong.append(FieldError(("arguments", name), "holds NUL or a lone surrogate", "value_error"))
                continue
            try:
                values[name] = msgspec.convert(value, type=field.type, strict=True)
            except msgspec.ValidationError as exc:
                wrong.append(FieldError(("arguments", name), str(exc)[:_LONGEST_FIELD_MESSAGE], "type_error"))
        if wrong:
            raise ValidationFailed(f"{len(wrong)} wrong arguments", fields=tuple(wrong))
        return self._wanted(**values)


def _is_storable(value: object) -> bool:
    return not (isinstance(value, str) and _NOT_STORABLE.search(value))


def _outcome(tool: str, call: ToolCall, result: ToolResult) -> ToolOutcome:
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


class _StoredOutcome(msgspec.Struct, frozen=True):
    """How a finished effect stands in the ledger: all that a re-run of the turn must say and do again."""

    status: ActionStatus
    value: dict[str, Any]
    summary: str
    receipt: str | None = None
    reference: str | None = None
    reason: str | None = None
    hands_over: bool = False
    outbox: tuple[OutboxItem, ...] = ()
    degraded: tuple[tuple[str, str], ...] = ()


def _finished(plan: EffectRecord, result: ToolResult) -> EffectRecord:
    return dataclasses.replace(
        plan,
        status=_LEDGER_STATUS[result.status],
        reference=result.reference,
        value=msgspec.to_builtins(
            _StoredOutcome(
                status=result.status,
                value=dict(result.value),
                summary=result.summary,
                receipt=result.receipt,
                reference=result.reference,
                reason=result.reason,
                hands_over=result.hands_over,
                outbox=result.outbox,
                degraded=result.degraded,
            )
        ),
    )


def _recalled(effect: EffectRecord) -> ToolResult:
    stored = msgspec.convert(effect.value, type=_StoredOutcome)
    return ToolResult(
        value=stored.value,
        summary=stored.summary,
        status=stored.status,
        receipt=stored.receipt,
        reference=stored.reference,
        reason=stored.reason,
        hands_over=stored.hands_over,
        outbox=stored.outbox,
        degraded=stored.degraded,
    )
