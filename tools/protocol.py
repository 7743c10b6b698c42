"""
What a tool is, what it is given, and what comes of a call.

A tool validates nothing and classifies nothing: `tools.handler` does both around it.
"""

from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar, runtime_checkable

import msgspec

from core.errors import ErrorContext
from core.identity import Caller
from core.ids import derived_id
from core.messages import Action, ActionStatus
from core.records import OutboxItem, Passage
from core.resilience.deadline import Deadline

KEY_CONFLICT = "idempotency_key_conflict"
"""Why a call was refused whose key stands for other arguments."""

Arguments = TypeVar("Arguments", bound=msgspec.Struct)
Arguments_co = TypeVar("Arguments_co", bound=msgspec.Struct, covariant=True)
Intent = TypeVar("Intent", bound=msgspec.Struct)


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCall:
    """
    In whose name and for which turn a tool runs. Nothing in here comes from a model, but for the words of `replies`.

    `key` identifies the effect, and is empty for a tool that only reads; `step` counts the valid calls of the tool within
    the turn. An earlier run of the turn may have used one of `other_keys` for the same step. `context` is what the customer
    said in the turns before, oldest first, and `replies` what was answered to it. `confirmed` is the fingerprint of the one
    call to which the customer has said yes (`fingerprint`); `asks_first` where nothing that the customer said asks for this
    one. `reload_state` re-reads the conversation after concurrent access. `key_is_given`: a client has made the key, so what
    comes under it with other arguments is its mistake; a turn that runs again may word the same wish anew.
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
    replies: tuple[str, ...] = ()
    confirmed: str | None = None
    asks_first: bool = False
    key_is_given: bool = False
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


@runtime_checkable
class DescribedElsewhere(Protocol):
    """A tool whose arguments are declared by a JSON Schema that is known only while it runs: it reads them itself."""

    @property
    def is_offered(self) -> bool:
        """Whether a model may be told of it now."""
        ...

    def parameters(self) -> Mapping[str, Any]: ...

    def read(self, given: Mapping[str, Any]) -> msgspec.Struct:
        """Raises ValidationFailed, or why the tool cannot be used at all."""
        ...


@runtime_checkable
class AsksFirst(Protocol):
    """
    An effect that can wait for the customer's yes. `tools.handler` refuses every call that no yes belongs to: all of them where
    `asks_first`, else those that the customer did not ask for.
    """

    @property
    def asks_first(self) -> bool: ...

    def question(self, arguments: msgspec.Struct, locale: str) -> str:
        """What the customer is asked, with all that would be done."""
        ...


@runtime_checkable
class KeepsWhatIsRefused(Protocol):
    """An effect whose wish is not lost where the dependency refuses it for good: a person sees to it."""

    def kept(self, intent: Any, call: ToolCall, exc: Exception) -> ToolResult | None:
        """None where nobody but the customer can mend it."""
        ...


CONFIRMATION_NEEDED = "confirmation_needed"


def fingerprint(tool: str, arguments: Mapping[str, Any]) -> str:
    """Of one call: the same tool with the same arguments, in whatever order they are written."""
    return derived_id("call", tool, msgspec.json.encode(arguments, order="sorted").decode())


@runtime_checkable
class ChoosesGuard(Protocol):
    """An effect whose dependency has several ways, each with a guard of its own."""

    def guard_of(self, intent: Any) -> str:
        """A name among the handler's guards; one that is not there means the guard of the tool's dependency."""
        ...


AnyTool = Tool[Any] | EffectTool[Any, Any]


class KnownTools(Protocol):
    """Which tools there are. `tools.registry` implements it."""

    def __iter__(self) -> Iterator[AnyTool]: ...

    def __contains__(self, name: object) -> bool: ...

    def find(self, name: str) -> AnyTool:
        """Raises ToolNotFound."""
        ...
