"""
Claims about a refund that an outside tool makes: only the customer's own yes, in a message of its own, lets it happen, whatever
the model does. The service, the model's wire and the MCP server are real processes and sockets.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from core.ids import new_id
from tests.careline_process import CarelineProcess
from tests.mcp_world import program, until
from tests.service.scripted_model import ScriptedModelServer, calls, says

pytestmark = pytest.mark.asyncio(loop_scope="module")

REFUND = ("shop__refund", json.dumps({"order_id": "A-1", "cents": 500}))


@dataclass
class Shop:
    url: str
    model: ScriptedModelServer
    journal: Path
    conversation: str | None = None

    async def say(self, message: str, *, new: bool = False) -> dict[str, Any]:
        body = {"message": message, "customer_id": "cust_anna"}
        if self.conversation is not None and not new:
            body["conversation_id"] = self.conversation
        async with httpx.AsyncClient(timeout=30.0) as client:
            answer = (await client.post(f"{self.url}/v1/chat", json=body)).json()
        self.conversation = answer["conversation_id"]
        return dict(answer)

    def refunds(self) -> list[dict[str, Any]]:
        if not self.journal.exists():
            return []
        return [json.loads(line) for line in self.journal.read_text("utf-8").splitlines()]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Shop]:
    folder = tmp_path_factory.mktemp("shop")
    journal = folder / "calls.jsonl"
    servers = {
        "shop": program(journal),
        "gone": {"command": "/no/such/program", "tools": {"look_up": {"risk": "read"}}},
    }
    async with ScriptedModelServer(says("Hello.")) as model:
        settings = {
            "model_url": model.url,
            "mcp_servers": json.dumps(servers),
            "rate_limit_per_customer": "0",
            "breaker_minimum_calls": "1000",
        }
        process = CarelineProcess(folder, settings)
        await asyncio.to_thread(process.start)
        try:
            await until(lambda: _is_up(process.url, "mcp_shop"))
            yield Shop(process.url, model, journal)
            assert await asyncio.to_thread(process.terminate) == 0
        finally:
            process.kill()


def _is_up(url: str, dependency: str) -> bool:
    ready = httpx.get(f"{url}/readyz")
    assert ready.status_code == 200
    found = ready.json()["dependencies"]
    return str(found[dependency]["state"]) == "up"


@pytest_asyncio.fixture(loop_scope="module")
async def shop(running: Shop) -> Shop:
    running.journal.unlink(missing_ok=True)
    running.conversation = None
    return running


async def _asked(shop: Shop) -> dict[str, Any]:
    shop.model.play(calls(REFUND), says("It has been refunded."))
    return await shop.say("Please refund my order A-1")


async def test_the_customer_is_asked_with_the_real_amount_and_nothing_happens_yet(shop: Shop) -> None:
    answer = await _asked(shop)

    assert answer["status"] == "needs_customer"
    assert "Refund an order: order id `A-1`, cents `500`" in answer["reply"]["text"]
    assert "refunded" not in answer["reply"]["text"]
    assert answer["reply"]["quick_replies"] == ["Yes", "No"]
    assert shop.refunds() == []


async def test_of_two_refunds_in_one_turn_one_is_asked_about_and_the_other_is_said_to_be_undone(
    shop: Shop,
) -> None:
    another = ("shop__refund", json.dumps({"order_id": "A-2", "cents": 700}))
    shop.model.play(calls(REFUND, another), says("Both have been refunded."))

    asked = await shop.say("Please refund my orders A-1 and A-2")
    before = shop.refunds()
    await shop.say("yes")

    text = asked["reply"]["text"]
    assert "order id `A-1`, cents `500`" in text
    assert "A-2" not in text
    assert "what else you asked me to do is not done" in text
    assert before == []
    assert [refund["arguments"]["order_id"] for refund in shop.refunds()] == ["A-1"]


async def test_a_yes_runs_exactly_what_was_asked_once_without_asking_the_model(shop: Shop) -> None:
    await _asked(shop)
    shop.model.play(calls(("shop__refund", json.dumps({"order_id": "A-1", "cents": 90_000}))))

    done = await shop.say("Yes, please!")
    await shop.say("yes")

    (refund,) = shop.refunds()
    assert refund["arguments"]["cents"] == 500
    assert refund["arguments"]["customer"] == "cust_anna"
    (action,) = done["actions"]
    assert action["status"] == "succeeded"
    assert action["receipt"] in done["reply"]["text"]


@pytest.mark.parametrize(
    "said", ["no", "Yes, but only 200", "yes yes refund everything", "What is cents?", "👍", "yesterday"]
)
async def test_anything_but_a_plain_yes_leaves_it_undone_for_good(shop: Shop, said: str) -> None:
    await _asked(shop)
    shop.model.play(says("All right?"))

    await shop.say(said)
    await shop.say("yes")

    assert shop.refunds() == []


async def test_a_model_that_calls_again_by_itself_only_asks_again(shop: Shop) -> None:
    await _asked(shop)
    shop.model.play(calls(REFUND, REFUND, ("shop__refund", json.dumps({"order_id": "A-1", "cents": 501}))))

    answer = await shop.say("Is it done?")

    assert answer["status"] == "needs_customer"
    assert shop.refunds() == []


async def test_a_yes_in_another_conversation_is_none_here(shop: Shop) -> None:
    await _asked(shop)
    shop.model.play(says("Yes what?"))

    await shop.say("yes", new=True)

    assert shop.refunds() == []


async def test_a_server_that_is_down_takes_away_only_its_tools(shop: Shop) -> None:
    assert not _is_up(shop.url, "mcp_gone")
    shop.model.play(calls(("shop__look_up", json.dumps({"order_id": "A-1"}))), says("It was shipped."))
    answer = await shop.say("Where is order A-1?")

    assert [action["status"] for action in answer["actions"] if action["tool"] == "shop__look_up"] == [
        "succeeded"
    ]
    told = {tool["function"]["name"] for tool in shop.model.requests[0]["tools"]}
    assert "shop__look_up" in told
    assert not {name for name in told if name.startswith("gone")}


async def test_a_crash_in_mid_call_is_told_with_the_part_that_is_missing(shop: Shop) -> None:
    shop.model.play(calls(("shop__crash", "{}")), says("That did not work."))

    answer = await shop.say(f"Please try it {new_id('x')}")

    assert [part["dependency"] for part in answer["degraded"]] == ["mcp_shop"]
    assert answer["degraded"][0]["feature"] == "outside_tools"
    await until(lambda: _is_up(shop.url, "mcp_shop"))
