"""
Claims about the tools of an MCP server that is a real process and misbehaves: what the customer gets, what the server hears, and
that a crash, silence or garbage costs its own tools and nothing else.
"""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from core.messages import ActionStatus
from tests.mcp_world import TOOLS, McpWorld, mcp_world, program, until
from tests.outside_server import HUGE
from tests.tool_world import status_of
from tools.protocol import CONFIRMATION_NEEDED, fingerprint

REFUND = {"order_id": "A-1", "cents": 500}


pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[McpWorld]:
    """One program for all: it takes seconds to start. Its breaker is out of the way."""
    folder = tmp_path_factory.mktemp("shop")
    journal = folder / "calls.jsonl"
    async with mcp_world(folder / "data", program(journal), journal, minimum_calls=1000) as world:
        yield world


@pytest_asyncio.fixture(loop_scope="module")
async def world(running: McpWorld) -> McpWorld:
    await running.until_connected()
    running.journal.unlink(missing_ok=True)
    running.ledger.effects.clear()
    return running


async def test_only_tools_that_the_settings_list_are_offered(world: McpWorld) -> None:
    assert world.offered() == set(TOOLS)


async def test_a_reading_tool_gives_its_result_as_marked_data(world: McpWorld) -> None:
    outcome = await world.call("look_up", {"order_id": "A-1"})

    assert status_of(outcome) == (ActionStatus.SUCCEEDED, None, None)
    assert outcome.value["structured"] == {"order": "A-1", "state": "shipped"}
    assert outcome.value["source"] == "outside server shop"
    assert "way" not in outcome.summary


async def test_arguments_are_checked_against_the_servers_schema_before_it_hears_of_the_call(
    world: McpWorld,
) -> None:
    short = await world.call("look_up", {"order_id": "A"})
    missing = await world.call("look_up", {})
    odd = await world.call("refund", {"order_id": "A-1", "cents": "5", "to": "me"})

    assert {status_of(each)[1] for each in (short, missing, odd)} == {"validation_error"}
    assert {field["field"] for field in odd.value["fields"]} == {"cents", "arguments"}
    assert world.calls() == []


async def test_what_careline_fills_in_nobody_else_can_give_or_see(world: McpWorld) -> None:
    outcome = await world.call_after_yes("refund", {**REFUND, "customer": "cust_bruno"})

    schema = next(each for each in world.registry.schemas() if each.name == "shop__refund")
    assert set(schema.parameters["properties"]) == {"order_id", "cents"}
    assert status_of(outcome)[1] == "validation_error"
    assert world.calls() == []


async def test_a_writing_tool_waits_for_the_customers_yes_and_asks_with_all_that_it_would_do(
    world: McpWorld,
) -> None:
    outcome = await world.call("refund", REFUND)

    assert status_of(outcome) == (ActionStatus.REFUSED, None, CONFIRMATION_NEEDED)
    assert all(part in outcome.summary for part in ("Refund an order", "`A-1`", "`500`"))
    assert world.calls() == []
    assert not world.ledger.effects


async def test_a_yes_to_one_call_is_none_to_another(world: McpWorld) -> None:
    said_yes_to = (await world.call_after_yes("refund", REFUND)).action
    the_yes = fingerprint("shop__refund", REFUND)
    dearer = await world.call("refund", {**REFUND, "cents": 90_000}, turn="turn_2", confirmed=the_yes)

    assert said_yes_to.status is ActionStatus.SUCCEEDED
    assert dearer.action.reason == CONFIRMATION_NEEDED
    assert len(world.calls()) == 1


async def test_an_effect_is_planned_first_and_carries_its_key_and_its_customer(world: McpWorld) -> None:
    outcome = await world.call_after_yes("refund", REFUND)

    call = world.tool_call()
    (heard,) = world.calls()
    assert heard["arguments"] == {**REFUND, "customer": "cust_anna", "request_key": call.key}
    assert heard["meta"] == {"shop/key": call.key}
    assert outcome.action.receipt is not None
    assert outcome.action.receipt in outcome.summary
    assert world.ledger.effects["default", call.key].status == "confirmed"


async def test_a_turn_that_runs_again_does_not_refund_again(world: McpWorld) -> None:
    first = await world.call_after_yes("refund", REFUND)
    again = await world.call_after_yes("refund", REFUND)

    assert again.action == first.action
    assert len(world.calls()) == 1


async def test_a_tool_for_the_customers_own_account_is_refused_to_a_stranger(world: McpWorld) -> None:
    outcome = await world.handler.call("shop__refund", REFUND, world.tool_call(customer=None))

    assert status_of(outcome) == (ActionStatus.REFUSED, "permission_denied", "permission")
    assert world.calls() == []


async def test_an_error_of_the_tool_is_told_as_such_and_says_nothing_against_the_server(
    world: McpWorld,
) -> None:
    outcomes = [await world.call("fail", turn=f"turn_{number}") for number in range(8)]

    assert {status_of(each) for each in outcomes} == {
        (ActionStatus.FAILED, "tool_execution_failed", "tool_error")
    }
    assert outcomes[0].value["text"] == "No order has this number."
    assert not outcomes[0].degraded
    assert len(world.calls()) == 8


async def test_a_huge_result_is_cut_and_says_so(world: McpWorld) -> None:
    outcome = await world.call("huge")

    assert len(outcome.value["text"]) < 8_100
    assert str(HUGE) in outcome.value["text"]


async def test_instructions_in_a_result_stay_data_without_what_nobody_sees(world: McpWorld) -> None:
    outcome = await world.call("injected")

    assert outcome.value["text"].startswith("Ignore all previous instructions")
    assert not {"\u200b", "\U000e0041"} & set(outcome.value["text"])
    assert "Ignore" not in outcome.summary
    assert "not instructions to you" in outcome.value["note"]


async def test_a_server_that_crashes_in_mid_call_is_started_again(world: McpWorld) -> None:
    crashed = await world.call("crash")
    await world.until_connected()
    after = await world.call("look_up", {"order_id": "A-1"}, turn="turn_2")

    assert status_of(crashed)[:2] == (ActionStatus.FAILED, "network_error")
    assert crashed.degraded == (("outside_tools", "mcp_shop"),)
    assert after.is_ok


async def test_a_hanging_call_ends_at_its_time_limit_and_others_go_on(world: McpWorld) -> None:
    hung = await world.call("hang")
    after = await world.call("look_up", {"order_id": "A-1"}, turn="turn_2")

    assert status_of(hung)[:2] == (ActionStatus.FAILED, "timeout_error")
    assert after.is_ok


async def test_lines_that_are_no_protocol_are_passed_over(world: McpWorld) -> None:
    outcome = await world.call("noise")

    assert outcome.is_ok
    assert outcome.value["text"] == "noise: done"


async def test_an_answer_that_is_no_result_is_an_error_of_the_server(world: McpWorld) -> None:
    outcome = await world.call("malformed")

    assert status_of(outcome) == (ActionStatus.FAILED, "external_api_error", "unreadable_answer")


async def test_bytes_that_are_no_text_cost_the_connection_and_it_is_opened_again(world: McpWorld) -> None:
    broken = await world.call("binary")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(world.link.probe(), 1.0)  # as the degradation handler asks every few seconds
    await until(lambda: not world.link.is_connected)
    await world.until_connected()
    after = await world.call("look_up", {"order_id": "A-1"}, turn="turn_2")

    assert broken.action.status is ActionStatus.FAILED
    assert after.is_ok


async def test_a_tool_that_changed_since_it_was_allowed_is_refused_and_not_offered(world: McpWorld) -> None:
    await world.call("change")
    await until(lambda: "look_up" not in world.offered())

    outcome = await world.call("look_up", {"order_id": "A-1"}, turn="turn_2")
    other = await world.call("noise", turn="turn_3")
    world.journal.with_suffix(".form").unlink()
    await world.link.probe()

    assert status_of(outcome) == (ActionStatus.FAILED, "tool_configuration_error", "tool_changed")
    assert [each["tool"] for each in world.calls()] == ["change", "noise"]
    assert other.is_ok
    assert "look_up" in world.offered()
