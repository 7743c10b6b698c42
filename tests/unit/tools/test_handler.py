"""Claims about every tool call, whatever the tool."""

import asyncio
import dataclasses
import io
import json
from typing import Any

import msgspec
import pytest

from core.errors import (
    CarelineError,
    ConcurrentAccess,
    DataIntegrityFailed,
    DependencyForbidsUs,
    DependencyRefusedUs,
    DependencyTimeout,
    DependencyUnavailable,
    ErrorType,
    ExternalApiFailed,
    InvalidInput,
    NetworkFailed,
    NotFound,
    RateLimited,
    StateLoadFailed,
    StateSaveFailed,
    ToolMisconfigured,
)
from core.identity import Audience, Caller, CallerKind
from core.messages import ActionStatus
from core.telemetry.logging import StructuredErrorLogger, get_logger
from core.telemetry.metrics import Metrics
from tests.tool_world import ToolWorld, status_of
from tools.handler import ToolErrorHandler


def events(log: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.getvalue().splitlines()]


async def test_a_found_passage_reaches_the_brain_with_what_is_needed_to_cite_it() -> None:
    world = ToolWorld()

    outcome = await world.call("search_knowledge", {"query": "return a lamp"})

    assert outcome.is_ok
    assert outcome.passages[0].article_id == "returns"
    assert outcome.value["passages"][0]["text"] == "You can return anything within 30 days."


@pytest.mark.parametrize(
    ("kind", "audience"), [(CallerKind.CUSTOMER, Audience.CUSTOMER), (CallerKind.VISITOR, Audience.PUBLIC)]
)
async def test_articles_are_searched_for_whom_the_turn_is_for_whatever_the_call_says(
    kind: CallerKind, audience: Audience
) -> None:
    world = ToolWorld()
    caller = Caller(kind=kind, customer_id="cust_anna")

    await world.call("search_knowledge", {"query": "lamp", "language": "es"}, caller=caller)
    refused = await world.call("search_knowledge", {"query": "lamp", "audience": "internal"}, caller=caller)

    assert world.knowledge.asked_as == [(audience, ("es",))]
    assert not refused.is_ok


async def test_a_tool_that_does_not_exist_is_refused_without_repeating_its_name() -> None:
    world = ToolWorld()

    outcome = await world.call("drop_tables; --", {"x": 1})

    assert status_of(outcome) == (ActionStatus.REFUSED, "tool_not_found", None)
    assert outcome.action.tool == "unknown"
    assert "drop" not in outcome.summary


@pytest.mark.parametrize(
    ("arguments", "fields"),
    [
        ({}, {"subject", "description"}),
        ({"subject": "ab", "description": "long enough text"}, {"subject"}),
        ({"subject": 7, "description": ["x"]}, {"subject", "description"}),
        ({"subject": "The lamp", "description": "It is broken.\x00"}, {"description"}),
        ({"subject": "The lamp", "description": "It is broken \ud83d."}, {"description"}),
        ({"subject": "The lamp", "description": "It is broken.", "customer_id": "cust_ben"}, {"customer_id"}),
        ({"subject": "The lamp", "description": "x" * 5001}, {"description"}),
        ({"subject": "...", "description": "It is broken."}, {"subject"}),
    ],
)
async def test_every_wrong_argument_is_named_and_nothing_is_done(
    arguments: dict[str, Any], fields: set[str]
) -> None:
    world = ToolWorld()

    outcome = await world.call("open_ticket", arguments)

    assert status_of(outcome)[:2] == (ActionStatus.FAILED, "validation_error")
    assert {field["field"] for field in outcome.value["fields"]} == fields
    assert world.desk.calls == 0
    assert world.ledger.effects == {}


@pytest.mark.parametrize(
    ("exc", "error_type"),
    [
        (InvalidInput("x"), ErrorType.INVALID_INPUT),
        (NotFound("x"), ErrorType.INVALID_INPUT),
        (DependencyRefusedUs("knowledge"), ErrorType.AUTHENTICATION_FAILED),
        (DependencyForbidsUs("knowledge"), ErrorType.PERMISSION_DENIED),
        (msgspec.ValidationError("x"), ErrorType.VALIDATION_ERROR),
        (CarelineError("x"), ErrorType.INTERNAL_ERROR),
        (MemoryError(), ErrorType.INTERNAL_ERROR),
        (DependencyUnavailable("knowledge"), ErrorType.SERVICE_UNAVAILABLE),
        (DependencyTimeout("knowledge"), ErrorType.TIMEOUT_ERROR),
        (TimeoutError("permission denied, not found"), ErrorType.TIMEOUT_ERROR),
        (RateLimited("x", dependency="knowledge"), ErrorType.RATE_LIMIT_EXCEEDED),
        (RuntimeError("rate limit duplicate timeout"), ErrorType.TOOL_EXECUTION_FAILED),
        (ValueError("timeout"), ErrorType.TOOL_EXECUTION_FAILED),
        (KeyError("x"), ErrorType.TOOL_EXECUTION_FAILED),
        (ToolMisconfigured("x"), ErrorType.TOOL_CONFIGURATION_ERROR),
        (FileNotFoundError("x"), ErrorType.TOOL_CONFIGURATION_ERROR),
        (StateLoadFailed("x"), ErrorType.STATE_LOAD_FAILED),
        (StateSaveFailed("x"), ErrorType.STATE_SAVE_FAILED),
        (ConcurrentAccess("x"), ErrorType.CONCURRENT_ACCESS_ERROR),
        (ExternalApiFailed("knowledge", answered_status=500), ErrorType.EXTERNAL_API_ERROR),
        (msgspec.DecodeError("x"), ErrorType.EXTERNAL_API_ERROR),
        (NetworkFailed("knowledge"), ErrorType.NETWORK_ERROR),
        (ConnectionResetError("x"), ErrorType.NETWORK_ERROR),
        (OSError("x"), ErrorType.NETWORK_ERROR),
        (DataIntegrityFailed("x"), ErrorType.DATA_INTEGRITY_ERROR),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "x"), ErrorType.DATA_INTEGRITY_ERROR),
    ],
)
async def test_an_error_is_classified_by_its_class_and_never_by_its_words(
    exc: Exception, error_type: ErrorType
) -> None:
    world = ToolWorld()
    world.knowledge.failure = exc

    outcome = await world.call("search_knowledge", {"query": "lamp"})

    assert outcome.action.status is ActionStatus.FAILED
    assert outcome.error is not None
    assert outcome.error.error_type is error_type
    assert outcome.action.error_type == error_type.value
    assert (outcome.error.tool_name, outcome.error.conversation_id) == ("search_knowledge", "conv_1")
    assert outcome.error.customer_id == "cust_anna"


async def test_no_word_of_an_exception_reaches_the_customer_or_the_model() -> None:
    world = ToolWorld()
    world.knowledge.failure = RuntimeError("password=hunter2 at db.internal:5432")

    outcome = await world.call("search_knowledge", {"query": "lamp"})

    seen = json.dumps([dict(outcome.value), msgspec.to_builtins(outcome.action)])
    assert "hunter2" not in seen
    assert "internal:5432" not in seen


async def test_concurrent_access_reloads_the_state_and_tries_once_more() -> None:
    world = ToolWorld()
    world.knowledge.failure, world.knowledge.times = ConcurrentAccess("moved"), 1
    reloads = []

    async def reload_state() -> None:
        reloads.append(world.knowledge.calls)

    outcome = await world.call("search_knowledge", {"query": "lamp"}, reload_state=reload_state)

    assert outcome.is_ok
    assert reloads == [1]


async def test_concurrent_access_twice_is_a_failure_and_not_a_loop() -> None:
    world = ToolWorld()
    world.knowledge.failure = ConcurrentAccess("moved")

    async def reload_state() -> None:
        pass

    outcome = await world.call("search_knowledge", {"query": "lamp"}, reload_state=reload_state)

    assert outcome.action.error_type == "concurrent_access_error"
    assert world.knowledge.calls == 2
    assert outcome.error is not None
    assert outcome.error.retry_count == 1


async def test_cancellation_passes_through() -> None:
    world = ToolWorld()
    entered = asyncio.Event()

    async def hang(*_: object, **__: object) -> Any:
        entered.set()
        await asyncio.Event().wait()

    # Hanging is the one behaviour that the fake does not have.
    world.knowledge.search = hang  # type: ignore[method-assign]
    task = asyncio.create_task(world.call("search_knowledge", {"query": "lamp"}))
    await entered.wait()
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_dependency_that_keeps_failing_is_not_asked_any_more() -> None:
    world = ToolWorld()
    world.knowledge.failure = DependencyUnavailable("knowledge")

    for step in range(30):
        await world.call("search_knowledge", {"query": "lamp"}, world.tool_call(step=step))

    assert world.knowledge.calls < 30


def test_a_tool_whose_dependency_nobody_guards_is_found_at_start() -> None:
    world = ToolWorld()

    with pytest.raises(ToolMisconfigured, match="open_ticket needs a guard for tickets"):
        ToolErrorHandler(
            world.registry,
            guards={name: guard for name, guard in world.guards.items() if name != "tickets"},
            ledger=world.ledger,
            clock=world.clock,
            errors=StructuredErrorLogger(get_logger("tests")),
        )


async def test_a_validation_error_is_logged_without_traceback_and_without_the_values(
    log: io.StringIO,
) -> None:
    world = ToolWorld()

    await world.call("open_ticket", {"subject": "The lamp", "description": 7, "owner_of": "ben@ben.example"})

    (event,) = [event for event in events(log) if event["event"] == "tool.failed"]
    assert event["level"] == "warning"
    assert event["error_type"] == "validation_error"
    assert set(event["details"]["fields"]) == {"description", "owner_of"}
    assert "exception" not in event
    assert "ben.example" not in log.getvalue()


async def test_an_outage_is_logged_as_an_error_with_its_cause_and_ids(log: io.StringIO) -> None:
    world = ToolWorld()
    world.knowledge.failure = DependencyUnavailable("knowledge")
    world.knowledge.failure.__cause__ = OSError("nobody there")

    await world.call("search_knowledge", {"query": "lamp"})

    (event,) = [event for event in events(log) if event["event"] == "tool.failed"]
    assert event["level"] == "error"
    assert (event["tool"], event["dependency"]) == ("search_knowledge", "knowledge")
    assert (event["customer_id"], event["conversation_id"]) == ("cust_anna", "conv_1")
    assert "OSError: nobody there" in event["exception"]


async def test_every_call_is_counted() -> None:
    metrics = Metrics()
    world = ToolWorld(observer=metrics)

    await world.call("search_knowledge", {"query": "lamp"})
    await world.call("no_such_tool", {})

    text = metrics.render().decode()
    assert (
        'careline_tool_calls_total{error_type="none",status="succeeded",tool="search_knowledge"} 1.0' in text
    )
    assert (
        'careline_tool_calls_total{error_type="tool_not_found",status="refused",tool="unknown"} 1.0' in text
    )


async def test_schemas_for_models_need_no_references_and_name_no_customer() -> None:
    world = ToolWorld()

    schemas = {schema.name: schema.parameters for schema in world.registry.schemas()}

    assert set(schemas) == {
        "search_knowledge", "open_ticket", "find_tickets", "customer_info", "notify", "handoff",
    }  # fmt: skip
    assert "$ref" not in json.dumps(list(schemas.values()))
    for parameters in schemas.values():
        assert parameters["additionalProperties"] is False
        assert not {"customer_id", "email", "to", "address", "tenant"} & set(parameters["properties"])


async def test_a_call_outside_its_deadline_is_a_timeout() -> None:
    world = ToolWorld()
    call = world.tool_call()
    world.clock.advance(21.0)

    outcome = await world.call("search_knowledge", {"query": "lamp"}, dataclasses.replace(call))

    assert outcome.action.error_type == "timeout_error"
    assert world.knowledge.calls == 0


@pytest.mark.parametrize(("locale", "language"), [("de-AT", "de"), ("EN", "en"), ("pt_BR", "pt")])
async def test_articles_are_looked_for_in_the_customers_language(locale: str, language: str) -> None:
    world = ToolWorld()

    await world.call(
        "search_knowledge", {"query": "lamp"}, dataclasses.replace(world.tool_call(), locale=locale)
    )

    assert world.knowledge.languages == [language]
