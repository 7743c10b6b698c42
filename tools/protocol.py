"""
What a tool is, what it is given, and what comes of a call.

A tool validates nothing and classifies nothing: `tools.handler` does both around it.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar, runtime_checkable

import msgspec

from core.errors import ErrorContext
from core.identity import Caller
from core.messages import Action, ActionStatus
from core.records import OutboxItem, Passage
from core.resilience.deadline import Deadline

Arguments = TypeVar("Arguments", bound=msgspec.Struct)
Arguments_co = TypeVar("Arguments_co", bound=msgspec.Struct, covariant=True)
Intent = TypeVar("Intent", bound=msgspec.Struct)


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCall:
    """
    In whose name and for which turn a tool runs. Nothing in here comes from a model.

    `key` identifies the effect, and is empty for a tool that only reads; `step` counts the valid calls of the tool within
    the turn. An earlier run of the turn may have used one of `other_keys` for the same step. `context` is what the customer
    said in the turns before, oldest first. `reload_state` re-reads the conversation after concurrent access.
    """

    call_id: str
    key: str
    step: int
    caller: Caller
    conversation_id: str
    turn_id: str
    locale: str
    deadline: Deadline
    other_keys: tuple[str, ...] = ()
    context: tuple[str, ...] = ()
    reload_state: Callable[[], Awaitable[None]] | None = None

    @property
    def tenant(self) -> str:
        return self.caller.tenant


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolResult:
    """
    What a tool returns when it did its work, wholly or as far as it could.

    `value` is plain JSON for a brain; `summary` is for the customer. `status` is `queued` when the work is
    kept for later in `outbox`, `unknown` when it was sent and its fate is not known.
    """

    value: Mapping[str, Any]
    summary: str
    status: ActionStatus = ActionStatus.SUCCEEDED
    receipt: str | None = None
    reference: str | None = None
    reason: str | None = None
    passages: tuple[Passage, ...] = ()
    outbox: tuple[OutboxItem, ...] = ()
    hands_over: bool = False
    degraded: tuple[tuple[str, str], ...] = ()
    """(feature, dependency) pairs that made this result less than it could be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolOutcome:
    """
    A finished call as a brain sees it: never an exception. `summary` may be shown to the customer as it
    stands.

    `error` is for operators; `action` is what the client is told.
    """

    action: Action
    value: Mapping[str, Any] = field(default_factory=dict)
    passages: tuple[Passage, ...] = ()
    outbox: tuple[OutboxItem, ...] = ()
    hands_over: bool = False
    degraded: tuple[tuple[str, str], ...] = ()
    error: ErrorContext | None = None

    @property
    def is_ok(self) -> bool:
        """The customer got what was asked for, now or by a promise that is kept."""
        return self.action.status in (ActionStatus.SUCCEEDED, ActionStatus.QUEUED)

    @property
    def summary(self) -> str:
        return self.action.summary


class ToolTraits(Protocol[Arguments_co]):
    """
    What is said of every tool.

    `arguments` is a frozen msgspec Struct with `forbid_unknown_fields`; its JSON Schema is what models see.
    `feature` and `dependency` are names of the degradation handler, `dependency` None for a tool that asks
    nobody. `needs_account` refuses visitors.
    """

    @property
    def name(self) -> str: ...

    @property
    def description(self) -> str: ...

    @property
    def arguments(self) -> type[Arguments_co]: ...

    @property
    def feature(self) -> str: ...

    @property
    def dependency(self) -> str | None: ...

    @property
    def needs_account(self) -> bool: ...

    @property
    def has_effect(self) -> bool: ...


@runtime_checkable
class Tool(ToolTraits[Arguments], Protocol[Arguments]):
    """A capability that only reads: a repeat does no harm."""

    async def run(self, arguments: Arguments, call: ToolCall) -> ToolResult: ...


@runtime_checkable
class EffectTool(ToolTraits[Arguments], Protocol[Arguments, Intent]):
    """
    A capability that changes something outside.

    `plan` decides what is to be done, without doing it; the plan is stored under the call's key before
    `carry_out` begins, and a re-run of the turn carries out the stored plan. `is_repeatable` says that
    carrying out the same key twice does no harm; where it is False and a call's fate is not known, `unsure`
    words that instead.
    """

    @property
    def intent(self) -> type[Intent]: ...

    @property
    def is_repeatable(self) -> bool: ...

    async def plan(self, arguments: Arguments, call: ToolCall) -> Intent: ...

    async def carry_out(self, intent: Intent, call: ToolCall) -> ToolResult: ...

    def put_off(self, intent: Intent, call: ToolCall) -> ToolResult | None:
        """
        The promise to do it later, when the dependency cannot be asked now; None where no such promise can be
        kept.
        """
        ...

    def unsure(self, intent: Intent, call: ToolCall) -> ToolResult: ...


AnyTool = Tool[Any] | EffectTool[Any, Any]
