"""POST /v1/chat as JSON: what goes in is what the turn gets, what comes out is the contract's answer."""

import asyncio
from typing import Any

import httpx
import pytest

from agent.turn.inputs import Delta, Finished
from core.errors import DependencyTimeout
from tests.service.api_service import Served, serving


async def say(served: Served, message: str = "How do I return it?", **fields: Any) -> httpx.Response:
    return await served.client.post("/v1/chat", json={"message": message, **fields})


async def test_the_answer_has_every_field_of_the_contract() -> None:
    async with serving() as served:
        answer = (await say(served)).json()

    assert set(answer) == {
        "conversation_id",
        "turn_id",
        "message_id",
        "status",
        "reply",
        "actions",
        "degraded",
        "brain",
        "model",
        "durability",
        "timings_ms",
        "usage",
        "agent",
    }
    assert answer["status"] == "answered"
    assert answer["reply"]["text"] == "You can return it."
    assert answer["reply"]["format"] == "markdown"
    assert set(answer["reply"]["citations"][0]) == {"n", "article_id", "title", "url", "quote"}
    assert set(answer["timings_ms"]) == {"total", "load", "brain", "tools", "save"}


@pytest.mark.parametrize(
    "text",
    [
        "  untrimmed \n",
        "e\u0301 is not \u00e9",
        "🧵" * 8000,
        " " * 500 + "x" * 8000 + "\n" * 500,
        "\x01\x7f\ufeff\u202e",
    ],
    ids=[
        "white space",
        "combining",
        "8,000 beyond the basic plane",
        "8,000 and white space",
        "odd characters",
    ],
)
async def test_text_reaches_the_turn_and_comes_back_unchanged(text: str) -> None:
    async with serving() as served:
        answer = (await say(served, text)).json()
        page = await served.client.get(f"/v1/conversations/{answer['conversation_id']}/messages")

    assert served.turns.submitted[0].message == text
    assert page.json()["messages"][0]["text"] == text


async def test_a_resent_message_gets_the_same_answer_and_is_stored_once() -> None:
    async with serving() as served:
        first = await say(served, client_message_id="m1")
        second = await served.client.post(
            "/v1/chat", json={"message": "How do I return it?"}, headers={"Idempotency-Key": "m1"}
        )

    assert second.json() == first.json()
    assert len(served.turns.submitted) == 1


async def test_a_message_id_used_for_another_text_is_a_conflict() -> None:
    async with serving() as served:
        await say(served, client_message_id="m1")
        second = await say(served, "Something else", client_message_id="m1")

    assert second.status_code == 409
    assert second.json()["code"] == "conflict"
    assert second.json()["retryable"] is False
    assert second.json()["stored"] is False


async def test_everything_the_body_says_reaches_the_turn() -> None:
    async with serving() as served:
        await say(
            served,
            customer_id="c-1",
            locale="pt-BR",
            channel="web",
            metadata={"page": {"n": [1, 2.5, None, True]}},
        )

    request = served.turns.submitted[0]
    assert request.caller.customer_id == "c-1"
    assert request.locale == "pt-BR"
    assert request.channel == "web"
    assert request.metadata == {"page": {"n": [1, 2.5, None, True]}}


async def test_a_turn_that_outlives_its_deadline_is_accepted_and_can_be_asked_for() -> None:
    async with serving(turn_deadline_seconds=0.01) as served:
        served.turns.script = (1.3, Delta("Late."))
        early = await say(served)
        waiting = await served.client.get(early.headers["location"])
        await asyncio.sleep(0.6)
        late = await served.client.get(early.headers["location"])

    assert early.status_code == 202
    assert early.json()["status"] == "accepted"
    assert early.json()["reply"] is None
    assert waiting.json()["status"] == "accepted"
    assert late.json()["reply"]["text"] == "Late."


async def test_who_prefers_not_to_wait_is_answered_when_the_message_is_stored() -> None:
    async with serving() as served:
        served.turns.script = (5.0,)
        answer = await served.client.post(
            "/v1/chat", json={"message": "hi"}, headers={"Prefer": "respond-async, wait=1"}
        )

    assert answer.status_code == 202
    assert answer.headers["preference-applied"] == "respond-async"
    assert len(served.turns.submitted) == 1


async def test_a_turn_that_fails_after_intake_says_that_the_message_is_stored() -> None:
    async with serving() as served:
        served.turns.script = (Finished(None, DependencyTimeout("sql", "db-7.internal is slow")),)
        answer = await say(served)

    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (504, "timeout_error")
    assert problem["stored"] is True
    assert problem["retryable"] is True
    assert "db-7" not in answer.text


async def test_when_nothing_can_store_the_message_it_says_so_and_when_to_come_back() -> None:
    async with serving() as served:
        served.turns.is_away = True
        answer = await say(served)

    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (503, "service_unavailable")
    assert answer.headers["retry-after"] == "4"
    assert problem["stored"] is False
    assert problem["retryable"] is True
    assert "internal" not in answer.text


async def test_a_customer_beyond_the_limit_waits_and_others_do_not() -> None:
    async with serving(rate_limit_per_customer="2/minute") as served:
        answers = [await say(served, customer_id="c-1") for _ in range(3)]
        other = await say(served, customer_id="c-2")
        served.clock.ahead_seconds = 61
        later = await say(served, customer_id="c-1")

    assert [each.status_code for each in answers] == [200, 200, 429]
    assert answers[2].json()["code"] == "rate_limit_exceeded"
    assert 1 <= int(answers[2].headers["retry-after"]) <= 60
    assert answers[2].json()["stored"] is False
    assert other.status_code == 200
    assert later.status_code == 200
    assert len(served.turns.submitted) == 4


async def test_the_whole_service_has_a_limit_of_its_own() -> None:
    async with serving(rate_limit="2/minute") as served:
        answers = [await say(served, customer_id=f"c-{n}") for n in range(3)]

    assert [each.status_code for each in answers] == [200, 200, 429]
