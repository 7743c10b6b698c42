"""Reading back: conversations, messages, turns; and the health routes."""

from datetime import UTC, datetime
from typing import Any

import pytest

from core.resilience.degradation import DependencyStatus
from tests.service.api_service import Served, serving


async def begin(served: Served, count: int = 1) -> str:
    """A conversation with `count` messages of the customer, each answered."""
    conversation_id: str | None = None
    for n in range(count):
        body = {"message": f"m{n}", "customer_id": "c-1", "conversation_id": conversation_id}
        conversation_id = (await served.client.post("/v1/chat", json=body)).json()["conversation_id"]
    assert conversation_id is not None
    return conversation_id


async def test_a_conversation_tells_whose_it_is_and_how_it_stands() -> None:
    async with serving() as served:
        conversation_id = await begin(served)
        answer = (await served.client.get(f"/v1/conversations/{conversation_id}")).json()

    assert set(answer) == {
        "conversation_id",
        "customer_id",
        "status",
        "channel",
        "locale",
        "created_at",
        "updated_at",
        "messages",
        "is_answering",
    }
    assert (answer["customer_id"], answer["status"]) == ("c-1", "open")
    assert datetime.fromisoformat(answer["created_at"]).utcoffset() is not None


async def test_messages_come_oldest_first_and_page_by_page() -> None:
    async with serving() as served:
        path = f"/v1/conversations/{await begin(served, 3)}/messages"
        seen: list[dict[str, Any]] = []
        after = 0
        while True:
            page = (await served.client.get(path, params={"after": after, "limit": 4})).json()
            seen += page["messages"]
            if page["next"] is None:
                break
            after = page["next"]

    assert [each["seq"] for each in seen] == [1, 2, 3, 4, 5, 6]
    assert [each["role"] for each in seen] == ["customer", "agent"] * 3
    assert [each["text"] for each in seen[::2]] == ["m0", "m1", "m2"]
    assert {"message_id", "seq", "role", "text", "at", "turn_id"} <= set(seen[0])


async def test_a_last_page_that_is_full_says_that_it_is_the_last() -> None:
    async with serving() as served:
        path = f"/v1/conversations/{await begin(served)}/messages"
        page = (await served.client.get(path, params={"limit": 2})).json()

    assert len(page["messages"]) == 2
    assert page["next"] is None


async def test_metadata_and_the_clients_own_id_are_returned_with_the_message() -> None:
    async with serving() as served:
        body = {"message": "hi", "client_message_id": "m-1", "metadata": {"page": "/cart"}}
        conversation_id = (await served.client.post("/v1/chat", json=body)).json()["conversation_id"]
        page = (await served.client.get(f"/v1/conversations/{conversation_id}/messages")).json()

    assert page["messages"][0]["client_message_id"] == "m-1"
    assert page["messages"][0]["metadata"] == {"page": "/cart"}
    assert "metadata" not in page["messages"][1]


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=1001", "limit=x", "after=-1", f"after={2**40}", f"after={'9' * 5000}"]
)
async def test_a_page_that_cannot_be_is_refused_by_name(query: str) -> None:
    async with serving() as served:
        answer = await served.client.get(f"/v1/conversations/{await begin(served)}/messages?{query}")

    assert (answer.status_code, answer.json()["code"]) == (422, "validation_error")
    assert answer.json()["errors"][0]["loc"] == ["query", query.partition("=")[0]]
    assert "9999" not in answer.text


@pytest.mark.parametrize(
    "identifier", ["conv_none", "%00", "%ff%fe", "a" * 5000, "%F0%9F%A7%B5", "..%2f..", "'--"]
)
async def test_an_id_that_is_not_ours_is_not_there(identifier: str) -> None:
    async with serving() as served:
        answers = [
            await served.client.get(f"/v1/conversations/{identifier}"),
            await served.client.get(f"/v1/conversations/{identifier}/messages"),
            await served.client.get(f"/v1/turns/{identifier}"),
        ]

    assert [each.status_code for each in answers] == [404, 404, 404]


async def test_a_turn_can_be_read_again() -> None:
    async with serving() as served:
        answer = (await served.client.post("/v1/chat", json={"message": "hi"})).json()
        again = await served.client.get(f"/v1/turns/{answer['turn_id']}")

    assert again.json() == answer


def status(dependency: str, *, is_up: bool, since: datetime | None = None) -> DependencyStatus:
    return DependencyStatus(dependency=dependency, is_up=is_up, since=since, breaker=None)


async def test_readiness_names_each_dependency_and_is_degraded_with_one_down() -> None:
    since = datetime(2026, 11, 22, 7, 0, tzinfo=UTC)
    states = {"sql": status("sql", is_up=True), "redis": status("redis", is_up=False, since=since)}

    async with serving(dependencies=lambda: states) as served:
        answer = await served.client.get("/readyz")

    assert answer.status_code == 200
    assert answer.json() == {
        "status": "degraded",
        "dependencies": {
            "sql": {"state": "up", "since": None},
            "redis": {"state": "down", "since": "2026-11-22T07:00:00Z"},
        },
    }


async def test_readiness_is_refused_only_when_no_turn_can_be_served() -> None:
    async with serving(
        dependencies=lambda: {"sql": status("sql", is_up=False)}, can_serve=lambda: False
    ) as served:
        ready = await served.client.get("/readyz")
        alive = await served.client.get("/livez")

    assert (ready.status_code, ready.json()["code"]) == (503, "service_unavailable")
    assert ready.json()["dependencies"]["sql"]["state"] == "down"
    assert "retry-after" in ready.headers
    assert alive.status_code == 200
