"""
Makes docs/errors.md by letting every tool fail in every way before both brains.

`python -m tests.docs.errors_page > docs/errors.md`

The real handler, guards (with the policies of a fresh installation), classification, sentences and brains; the LLM brain asks the
model server of `tests.service.scripted_model`, whose model repeats to the customer what the tool said.
"""

import asyncio
import json
import random
import re
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from structlog.testing import capture_logs

from agent.brain.llm import LlmBrain
from agent.models.base import ToolSpec
from agent.models.openai import OpenAiModel
from core.clock import SystemClock
from core.errors import (
    ConcurrentAccess,
    DataIntegrityFailed,
    DependencyForbidsUs,
    DependencyRefusedUs,
    DependencyRejectedInput,
    DependencyTimeout,
    DependencyUnavailable,
    ErrorType,
    ExternalApiFailed,
    InternalFailure,
    NetworkFailed,
    NotFound,
    RateLimited,
    StateLoadFailed,
    StateSaveFailed,
    ToolMisconfigured,
)
from core.http import make_model_client
from core.messages import Action
from core.records import Recognition
from core.resilience.guard import Guard
from core.resilience.policies import guard_policies
from core.settings import Settings
from tests.service.scripted_model import Scene, ScriptedModelServer, Stage, calls, says
from tests.tool_world import Failing, ToolWorld
from tests.unit.brain.chat import RETURNS, Chat

T = TypeVar("T")

_HEAD = """# What happens when a tool fails

Every tool, every error type, both brains, in English, as it comes out of the running code. This page is made by
`python -m tests.docs.errors_page`; a test fails where it is not what the code does.

- *outcome*: the action's `status` in the answer. `queued`: promised with a receipt, carried out later by the outbox. `unknown`:
  it may have happened, so it is not repeated.
- *asked*: how often the dependency was asked within the turn. Only a search is asked twice: what writes is repeated by the outbox
  under its key, and a customer waits for the rest. Repeats of all guards together stay within a budget of 20 %.
- *breaker*: what the attempts were to the dependency's circuit breaker: `failing`, `alive` (it answered, and the answer is no) or
  `unproven` (counted as neither).
- *log*: event and level. The metric is always `careline_tool_calls_total{tool, status, error_type}`, its labels being the tool,
  the outcome and the error type of the row (`none` for `queued` and `unknown`, whose failure is in the log alone).
- *the customer reads*: the reply of the embedded brain; the LLM brain's below it where it says anything else.
"""

_ARGUMENTS: Mapping[str, Mapping[str, Any]] = {
    "search_knowledge": {"query": "How long can I return an item?"},
    "open_ticket": {"subject": "My lamp is broken", "description": "It does not turn on any more."},
    "find_tickets": {},
    "customer_info": {"about": "profile"},
    "notify": {"subject": "Your return", "body": "You can return anything within 30 days."},
    "handoff": {"reason": "wants a person"},
}
_WISHES: Mapping[str, tuple[str, ...]] = {
    "search_knowledge": ("How long can I return an item?",),
    "open_ticket": ("Please open a ticket", "My lamp is broken", "It does not turn on any more."),
    "find_tickets": ("Show me my tickets",),
    "customer_info": ("What do you know about me?",),
    "notify": ("How long can I return an item?", "Send it to me by e-mail"),
    "handoff": ("I want to talk to a person",),
}
"""What a customer says until the tool is called; the last message calls it."""

_DEPENDENCIES: Mapping[str, str | None] = {
    "search_knowledge": "knowledge",
    "open_ticket": "tickets",
    "find_tickets": "tickets",
    "customer_info": "customers",
    "notify": "notifications",
    "handoff": None,
}
_HAVE_EFFECTS = frozenset({"open_ticket", "notify", "handoff"})

_LEDGER_ERRORS: Mapping[ErrorType, Callable[[], Exception]] = {
    ErrorType.STATE_LOAD_FAILED: lambda: StateLoadFailed("of a newer version"),
    ErrorType.STATE_SAVE_FAILED: lambda: StateSaveFailed("the ledger could not be written"),
    ErrorType.DATA_INTEGRITY_ERROR: lambda: DataIntegrityFailed("a stored plan cannot be read"),
}
_DEPENDENCY_ERRORS: Mapping[ErrorType, tuple[str, Callable[[str], Exception]]] = {
    ErrorType.INVALID_INPUT: ("there is no such thing (404)", lambda _: NotFound("no such thing")),
    ErrorType.AUTHENTICATION_FAILED: ("it refuses our credentials (401)", DependencyRefusedUs),
    ErrorType.PERMISSION_DENIED: ("it denies us the right (403)", DependencyForbidsUs),
    ErrorType.VALIDATION_ERROR: ("it says that the data is wrong (422)", DependencyRejectedInput),
    ErrorType.INTERNAL_ERROR: ("a defect in the adapter", lambda _: InternalFailure("a defect")),
    ErrorType.SERVICE_UNAVAILABLE: ("it refuses the connection (503)", DependencyUnavailable),
    ErrorType.TIMEOUT_ERROR: (
        "it is sent and not answered",
        lambda name: DependencyTimeout(name, may_have_happened=True),
    ),
    ErrorType.RATE_LIMIT_EXCEEDED: ("too many calls (429)", lambda name: RateLimited(dependency=name)),
    ErrorType.TOOL_EXECUTION_FAILED: (
        "an exception that nobody foresaw",
        lambda _: RuntimeError("10.0.0.7: broken"),
    ),
    ErrorType.TOOL_CONFIGURATION_ERROR: (
        "a wrong setting",
        lambda name: ToolMisconfigured(f"{name}: its address is not an http(s) URL"),
    ),
    ErrorType.CONCURRENT_ACCESS_ERROR: (
        "somebody else was faster, twice",
        lambda _: ConcurrentAccess("moved"),
    ),
    ErrorType.EXTERNAL_API_ERROR: (
        "it answers with an error (500)",
        lambda name: ExternalApiFailed(name, answered_status=500, may_have_happened=True),
    ),
    ErrorType.NETWORK_ERROR: (
        "the connection breaks in the middle",
        lambda name: NetworkFailed(name, may_have_happened=True),
    ),
    ErrorType.DATA_INTEGRITY_ERROR: (
        "what it stores contradicts itself",
        lambda _: DataIntegrityFailed("it contradicts itself"),
    ),
}


@dataclass(frozen=True)
class Failure:
    """What goes wrong in one row; `impossible` says why it cannot."""

    error_type: ErrorType
    what: str = ""
    impossible: str = ""
    make: Callable[[], Exception] | None = None
    is_in_ledger: bool = False
    has_wrong_arguments: bool = False
    recognition: Recognition = Recognition.KEY


@dataclass
class Attempts:
    """The guards' observer."""

    verdicts: list[tuple[str, str]] = field(default_factory=list)

    def attempt_ended(self, dependency: str, *, verdict: str, seconds: float) -> None:
        self.verdicts.append((dependency, verdict))

    def of(self, asked: str | None) -> tuple[str, ...]:
        return tuple(verdict for dependency, verdict in self.verdicts if dependency == asked)

    def breaker_changed(self, dependency: str, *, state: str) -> None: ...


@dataclass
class Counted:
    """The handler's observer: the labels of `careline_tool_calls_total`."""

    labels: list[tuple[str, str, str]] = field(default_factory=list)

    def tool_call_ended(self, tool: str, *, status: str, error_type: str | None, seconds: float) -> None:
        self.labels.append((tool, status, error_type or "none"))


@dataclass(frozen=True)
class Seen:
    """One row as one brain came to it."""

    action: Action
    text: str
    verdicts: tuple[str, ...]
    log: tuple[str, ...]
    labels: tuple[str, str, str]


_OTHER_DESKS = tuple(
    Failure(
        ErrorType.TIMEOUT_ERROR,
        f"it is sent and not answered, by a desk that knows no key {and_}",
        make=lambda: DependencyTimeout("tickets", may_have_happened=True),
        recognition=recognition,
    )
    for recognition, and_ in (
        (Recognition.LOOKUP, "but can be looked at"),
        (Recognition.NONE, "and cannot be looked at"),
    )
)


def failure(tool: str, error_type: ErrorType) -> Failure:
    dependency = _DEPENDENCIES[tool]
    if error_type is ErrorType.TOOL_NOT_FOUND:
        return Failure(error_type, impossible="the tool is there; for a name that no tool has, see the end")
    if tool in _HAVE_EFFECTS and error_type in _LEDGER_ERRORS:
        return Failure(
            error_type, "the plan cannot be noted", make=_LEDGER_ERRORS[error_type], is_in_ledger=True
        )
    if error_type in (ErrorType.STATE_LOAD_FAILED, ErrorType.STATE_SAVE_FAILED):
        return Failure(error_type, impossible="it reads no state and notes no plan")
    if dependency is None:
        if error_type is ErrorType.VALIDATION_ERROR:
            return Failure(error_type, "the arguments are wrong", has_wrong_arguments=True)
        return Failure(error_type, impossible="it asks nobody")
    what, make = _DEPENDENCY_ERRORS[error_type]
    return Failure(error_type, what, make=lambda: make(dependency))


async def seen(tool: str, what: Failure, *, by_model: bool) -> Seen:
    """Lets it fail, as a customer of one of the two brains meets it."""
    world, attempts, counted = _world()
    world.desk.recognition = what.recognition
    world.desk.fails_only_to_open = what.recognition is not Recognition.KEY
    wishes = _WISHES[tool]
    arguments = {} if what.has_wrong_arguments else _ARGUMENTS[tool]
    async with ScriptedModelServer(says("")) as server:
        chat = Chat(
            world, brain=await _llm(world, server) if by_model else None, contact="help@lamps.example"
        )
        chat.knows(RETURNS)
        if by_model:
            wishes = wishes[-1:]
            first = () if tool == "search_knowledge" else (calls((tool, json.dumps(arguments))),)
            server.play(*first, _repeats_the_tool())
        for wish in wishes[:-1]:
            await _driven(world, chat.say(wish))
        attempts.verdicts.clear()
        counted.labels.clear()
        _break(world, tool, what)
        with capture_logs() as log:
            reply = await _driven(world, chat.say(wishes[-1]))
    action = next(each for each in chat.actions if each.tool == tool)
    return Seen(
        action=action,
        text=reply.text,
        verdicts=attempts.of(_asked(tool, what)),
        log=tuple(
            f"{each['event']} {each['log_level']}" for each in log if each["event"].startswith("tool.")
        ),
        labels=next(each for each in counted.labels if each[0] == tool),
    )


def _world() -> tuple[ToolWorld, Attempts, Counted]:
    attempts, counted = Attempts(), Counted()
    policies = guard_policies(Settings())
    world = ToolWorld(
        observer=counted,
        guard=lambda name, clock: Guard(
            name, policies[name], clock=clock, rng=random.Random(7), observer=attempts
        ),
    )
    return world, attempts, counted


def _break(world: ToolWorld, tool: str, what: Failure) -> None:
    places: Mapping[str, Failing] = {
        "search_knowledge": world.knowledge,
        "open_ticket": world.desk,
        "find_tickets": world.desk,
        "customer_info": world.directory,
        "notify": world.directory if what.error_type is ErrorType.INVALID_INPUT else world.channel,
    }
    if what.make is not None:
        place = world.ledger if what.is_in_ledger else places[tool]
        place.failure = what.make()


def _asked(tool: str, what: Failure) -> str | None:
    """The dependency that fails in this row."""
    is_about_the_address = tool == "notify" and what.error_type is ErrorType.INVALID_INPUT
    return "customers" if is_about_the_address else _DEPENDENCIES[tool]


async def _llm(world: ToolWorld, server: ScriptedModelServer) -> LlmBrain:
    clock = SystemClock()
    model = OpenAiModel(
        make_model_client("model", base_url=server.url, timeout_seconds=5.0),
        model="scripted",
        guard=Guard(
            "model",
            guard_policies(Settings())["model"],
            clock=clock,
            rng=random.Random(7),
        ),
        clock=clock,
        silence_seconds=5.0,
        first_token_seconds=5.0,
    )
    tools = [ToolSpec(each.name, each.description, each.parameters) for each in world.registry.schemas()]
    return LlmBrain(model, tools=tools, company_name="Lamps & Co", contact_address="help@lamps.example")


def _repeats_the_tool() -> Scene:
    async def play(stage: Stage) -> None:
        told = json.loads(stage.request["messages"][-1]["content"])
        await says(told["summary"])(stage)

    return play


async def _driven(world: ToolWorld, wanted: Awaitable[T]) -> T:
    """While the tools' clock moves on, a little at a time, and the model's socket has its own."""
    task = asyncio.ensure_future(wanted)
    while not task.done():
        await world.clock.run_for(0.05)
        await asyncio.wait({task}, timeout=0.001)
    return task.result()


async def page() -> str:
    lines = [_HEAD]
    for tool in _WISHES:
        lines.append(f"\n## {tool}\n\n{_TABLE}")
        impossible: dict[str, list[str]] = {}
        for error_type in ErrorType:
            what = failure(tool, error_type)
            if what.impossible:
                impossible.setdefault(what.impossible, []).append(f"`{error_type}`")
                continue
            lines.append(_row(what, await _both(tool, what)))
        if tool == "open_ticket":
            lines += [_row(what, await _both(tool, what)) for what in _OTHER_DESKS]
        lines.append(
            "\nCannot happen: " + "; ".join(f"{', '.join(t)} ({why})" for why, t in impossible.items())
        )
        lines.append(".\n")
    lines.append(await _tail())
    return "".join(lines)


async def _both(tool: str, what: Failure) -> tuple[Seen | None, Seen]:
    """The embedded brain first; None where it never does that."""
    embedded = None if what.has_wrong_arguments else await seen(tool, what, by_model=False)
    return embedded, await seen(tool, what, by_model=True)


def _row(what: Failure, both: tuple[Seen | None, Seen]) -> str:
    llm = both[1]
    embedded = both[0] or llm
    for each in (embedded, llm):
        error_type = each.action.error_type or "none"
        if each.labels != (each.action.tool, each.action.status.value, error_type):
            raise AssertionError(f"the metric says {each.labels} of {each.action}")
    texts = dict.fromkeys((_text(embedded.text), _text(llm.text)))
    if both[0] is None:
        texts = {f"(only with the LLM brain) {_text(llm.text)}": None}
    cells = [
        f"`{what.error_type}`: {what.what}",
        _either(embedded.action.status.value, llm.action.status.value),
        _either(str(len(embedded.verdicts)), str(len(llm.verdicts))),
        _either(_verdicts(embedded), _verdicts(llm)),
        _either(_logged(embedded), _logged(llm)),
        "<br>*LLM:* ".join(texts),
    ]
    return f"| {' | '.join(cells)} |\n"


def _verdicts(row: Seen) -> str:
    return ", ".join(dict.fromkeys(row.verdicts)) or "–"


def _logged(row: Seen) -> str:
    return "<br>".join(dict.fromkeys(row.log))


def _either(embedded: str, llm: str) -> str:
    return embedded if embedded == llm else f"{embedded} (LLM: {llm})"


def _text(text: str) -> str:
    return " ".join(_RECEIPT.sub("R-…", text).split()).replace("|", "\\|")


async def _tail() -> str:
    world, _, counted = _world()
    with capture_logs() as log:
        outcome = await world.call("transfer_money", {"to": "me"})
    return (
        f"\n## A tool that does not exist\n\nA model may make up a name: `{outcome.action.status}`, nothing is asked, log "
        f"`{log[0]['event']} {log[0]['log_level']}`, metric `{'`, `'.join(counted.labels[0])}`; its name is repeated nowhere. "
        f"What the model is told: {outcome.summary}\n"
    )


_RECEIPT = re.compile(r"R-[0-9A-Z]{10}")
_TABLE = """| error type: what happens | outcome | asked | breaker | log | the customer reads |
|---|---|---|---|---|---|
"""

if __name__ == "__main__":
    sys.stdout.write(asyncio.run(page()))
