"""
Carry out a tool's effect once: plan, store the plan, act, store what came of it. A run that finds a plan goes on from there.
"""

import dataclasses
from contextlib import suppress
from functools import cached_property
from typing import Any

import msgspec

from core.errors import (
    CarelineError,
    ConcurrentAccess,
    DataIntegrityFailed,
    DependencyUnavailable,
    ValidationFailed,
)
from core.ids import new_id, receipt_for
from core.messages import ActionStatus
from core.records import EffectRecord
from core.telemetry.logging import get_logger
from tools.classify import can_be_put_off, dependency_of, fate_is_unknown, reason_of
from tools.failure_log import FailureLog
from tools.guarded import GuardedTools
from tools.known_effects import bound, check_bound, finished, recalled
from tools.ports import EffectLedger
from tools.protocol import (
    KEY_CONFLICT,
    ChoosesGuard,
    EffectTool,
    KeepsWhatIsRefused,
    KnownTools,
    ToolCall,
    ToolResult,
)

_log = get_logger(__name__)


class Attempt:
    """
    What is known of one call while it runs. `run` tells its own plan in the ledger from that of an earlier
    run.
    """

    def __init__(self) -> None:
        self.retries = 0

    @cached_property
    def run(self) -> str:
        return new_id("run")


class Effects:
    """Of the registry's tools that change something."""

    def __init__(
        self, registry: KnownTools, *, ledger: EffectLedger, guarded: GuardedTools, failures: FailureLog
    ) -> None:
        self._registry = registry
        # Asking a protocol costs 20 µs, so each tool is asked once.
        self._tools: dict[str, EffectTool[Any, Any]] = {
            tool.name: tool for tool in registry if isinstance(tool, EffectTool)
        }
        self._choosers = {tool.name: tool for tool in registry if isinstance(tool, ChoosesGuard)}
        self._ledger = ledger
        self._guarded = guarded
        self._failures = failures

    def __contains__(self, name: object) -> bool:
        return name in self._tools

    async def placed(self, name: str, call: ToolCall) -> ToolCall:
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

    async def finished_before(
        self, exc: Exception, name: str, call: ToolCall
    ) -> tuple[str, ToolResult] | None:
        """
        What an earlier run of this turn achieved under the same key, where this run did not get as far as
        asking: it wants something that is not valid, or cannot plan.
        """
        if name not in self._tools:
            return None
        if dependency_of(exc) == "sql":  # it was the ledger that could not be asked
            return None
        if call.key_is_given and (isinstance(exc, ValidationFailed) or reason_of(exc) == KEY_CONFLICT):
            return None
        try:
            stored = await self._ledger.effect(call.tenant, call.key)
        except CarelineError as unknown:
            self._failures.told(unknown, name, call, retries=0)
            return None
        if stored is None or stored.status not in ("confirmed", "queued", "unknown"):
            return None
        _log.info("tool.effect_known", tool=stored.tool, call_id=call.call_id, status=stored.status)
        return stored.tool, recalled(stored)

    async def run(self, name: str, arguments: msgspec.Struct, call: ToolCall, attempt: Attempt) -> ToolResult:
        """
        Plan, store the plan, carry it out, store what came of it.

        A plan that stands under the key already comes from an earlier run of this turn. It goes first,
        whatever the brain wants now: finished, its outcome is said again; unfinished, it is carried out only
        where that can do no harm.
        """
        tool = self._tools[name]
        if call.key_is_given:
            stored_before = None
            with suppress(CarelineError):  # asked again when the plan is stored
                stored_before = await self._ledger.effect(call.tenant, call.key)
            check_bound(stored_before, arguments)
        stored = await self._planned(tool, arguments, call, attempt)
        if call.key_is_given:
            check_bound(stored, arguments)
        if stored.status in ("confirmed", "queued", "unknown"):
            _log.info("tool.effect_known", tool=stored.tool, call_id=call.call_id, status=stored.status)
            return recalled(stored)
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
        await self._record(finished(stored, result), call)
        return result

    async def _planned(
        self, tool: EffectTool[Any, Any], arguments: msgspec.Struct, call: ToolCall, attempt: Attempt
    ) -> EffectRecord:
        """A plan that an earlier run began stands where this one cannot plan: what it needs for that may be away by now."""
        try:
            intent = await tool.plan(arguments, call)
        except CarelineError:
            begun: EffectRecord | None = None
            with suppress(CarelineError):
                begun = await self._ledger.effect(call.tenant, call.key)
            if begun is None or begun.status == "failed":
                raise
            return begun
        return await self._ledger.begin_effect(
            EffectRecord(
                tenant=call.tenant,
                key=call.key,
                turn_id=call.turn_id,
                step=call.step,
                tool=tool.name,
                arguments={
                    "run": attempt.run,
                    "intent": msgspec.to_builtins(intent),
                    **bound(arguments, call),
                },
            )
        )

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
            return await self._guarded.run(
                tool,
                lambda: tool.carry_out(intent, call),
                call,
                may_repeat=tool.is_repeatable,
                guard=self._choosers[tool.name].guard_of(intent) if tool.name in self._choosers else None,
            )
        except ConcurrentAccess:
            raise
        except Exception as exc:  # becomes a doubt or a promise, or is raised again as a failure
            instead: ToolResult | None = None
            if fate_is_unknown(exc) and not tool.is_repeatable:
                instead = tool.unsure(intent, call)
            elif can_be_put_off(exc):
                instead = tool.put_off(intent, call)
            elif isinstance(tool, KeepsWhatIsRefused):
                instead = tool.kept(intent, call, exc)
            if instead is None:
                await self._record(dataclasses.replace(stored, status="failed"), call)
                raise
            self._failures.told(exc, tool.name, call, retries=0)
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
            self._failures.told(exc, effect.tool, call, retries=0)

    def _planned_tool(self, stored: EffectRecord) -> EffectTool[Any, Any]:
        name = self._registry.find(stored.tool).name
        if name not in self._tools:
            raise DataIntegrityFailed("a stored plan names a tool without effects")
        return self._tools[name]
