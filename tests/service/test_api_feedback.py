"""Feedback on answers, and the explained turn that shows it: who may give which, and who may read it."""

from datetime import UTC, datetime
from typing import Any

import pytest

from core.errors import DependencyUnavailable
from core.explanation import TurnExplanation
from tests.service.api_service import Served, serving

KEYS = "shop:server-key-of-16-or-more,desk:operator-key-of-16-or-more:default:operator"
SERVER = {"Authorization": "Bearer server-key-of-16-or-more"}
OPERATOR = {"Authorization": "Bearer operator-key-of-16-or-more"}


async def answered(served: Served, text: str = "Can I return it?", **more: Any) -> dict[str, Any]:
    response = await served.client.post("/v1/chat", json={"message": text, "customer_id": "c-1"}, **more)
    answer: dict[str, Any] = response.json()
    return answer


async def test_feedback_belongs_to_the_newest_answer_unless_it_names_one() -> None:
    async with serving() as served:
        first = await answered(served)
        path = f"/v1/conversations/{first['conversation_id']}/feedback"
        again = {"message": "And the box?", "customer_id": "c-1", "conversation_id": first["conversation_id"]}
        second = (await served.client.post("/v1/chat", json=again)).json()

        newest = await served.client.post(path, json={"thumbs": "up", "comment": "Thanks"})
        named = await served.client.post(path, json={"score": 2, "turn_id": first["turn_id"]})

    assert (newest.status_code, newest.json()["turn_id"], newest.json()["thumbs"]) == (
        200,
        second["turn_id"],
        "up",
    )
    assert (named.status_code, named.json()["turn_id"], named.json()["score"]) == (200, first["turn_id"], 2)


async def test_a_second_word_takes_the_place_of_the_first() -> None:
    async with serving() as served:
        answer = await answered(served)
        path = f"/v1/conversations/{answer['conversation_id']}/feedback"
        await served.client.post(path, json={"score": 1})
        await served.client.post(path, json={"score": 5})
        seen = (await served.client.get(f"/v1/turns/{answer['turn_id']}?view=explain")).json()

    assert [given["score"] for given in seen["feedback"]] == [5]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "body"),
        ({"score": 3, "thumbs": "up"}, "body"),
        ({"score": 0}, "score"),
        ({"score": 6}, "score"),
        ({"score": "5"}, "score"),
        ({"thumbs": "sideways"}, "thumbs"),
        ({"score": 3, "comment": "x" * 2001}, "comment"),
        ({"score": 3, "comment": "a\x00b"}, "comment"),
        ({"score": 3, "turn_id": "turn_of_somebody_else"}, "turn_id"),
        ({"score": 3, "rating": 3}, "rating"),
    ],
)
async def test_what_is_wrong_with_feedback_is_named(body: dict[str, Any], field: str) -> None:
    async with serving() as served:
        answer = await answered(served)
        response = await served.client.post(
            f"/v1/conversations/{answer['conversation_id']}/feedback", json=body
        )

    assert response.status_code == 422
    assert response.json()["stored"] is False
    assert field in {str(each["loc"][-1]) for each in response.json()["errors"]}
    assert served.feedback.given == {}


async def test_nobody_judges_somebody_elses_answers() -> None:
    async with serving(allow_anonymous=True) as served:
        answer = await answered(served)
        visitor = (await served.client.post("/v1/visitors")).json()["token"]
        response = await served.client.post(
            f"/v1/conversations/{answer['conversation_id']}/feedback",
            json={"score": 1},
            headers={"Authorization": f"Bearer {visitor}"},
        )

    assert response.status_code == 404
    assert served.feedback.given == {}


async def test_feedback_before_the_first_answer_says_to_come_back_after_it() -> None:
    async with serving() as served:
        served.turns.script = (30.0,)
        body = {"message": "Hello?", "customer_id": "c-1"}
        begun = await served.client.post("/v1/chat", json=body, headers={"Prefer": "respond-async"})
        response = await served.client.post(
            f"/v1/conversations/{begun.json()['conversation_id']}/feedback", json={"score": 4}
        )

    assert response.status_code == 422
    assert "after it" in response.json()["errors"][0]["msg"]


async def test_feedback_that_cannot_be_stored_is_said_not_to_be() -> None:
    async with serving() as served:
        answer = await answered(served)
        served.feedback.failure = DependencyUnavailable("sql", "refused", retry_after=2.0)
        response = await served.client.post(
            f"/v1/conversations/{answer['conversation_id']}/feedback", json={"score": 4}
        )

    assert (response.status_code, response.json()["stored"]) == (503, False)
    assert "Retry-After" in response.headers


async def test_only_operators_read_why_a_turn_was_answered_as_it_was() -> None:
    async with serving(api_keys=KEYS) as served:
        answer = await answered(served, headers=SERVER)
        path = f"/v1/turns/{answer['turn_id']}?view=explain"
        served.explained.kept["default", answer["turn_id"]] = TurnExplanation(
            noted_at=datetime(2026, 11, 28, tzinfo=UTC), steps=({"kind": "loaded", "at_ms": 1.5},)
        )
        refused = await served.client.get(path, headers=SERVER)
        seen = await served.client.get(path, headers=OPERATOR)
        plain = await served.client.get(f"/v1/turns/{answer['turn_id']}", headers=OPERATOR)

    assert refused.status_code == 403
    assert seen.json()["turn"] == plain.json() == answer
    assert seen.json()["explanation"]["steps"] == [{"kind": "loaded", "at_ms": 1.5}]


async def test_a_turn_of_which_nothing_was_kept_is_shown_without() -> None:
    async with serving() as served:
        answer = await answered(served)
        seen = await served.client.get(f"/v1/turns/{answer['turn_id']}?view=explain")
        wrong = await served.client.get(f"/v1/turns/{answer['turn_id']}?view=everything")

    assert (seen.status_code, seen.json()["explanation"]) == (200, None)
    assert wrong.status_code == 422
