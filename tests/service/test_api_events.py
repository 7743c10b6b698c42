"""A conversation's new messages as events, and single turns followed and stopped, on a real socket."""

import json
from collections.abc import Sequence
from typing import Any

import httpx_sse
import pytest

from agent.turn.inputs import Delta
from core.errors import DependencyUnavailable
from core.messages import Message
from tests.service.api_service import MemoryTurns, Served, serving
from tests.service.test_api_reading import begin


async def told(served: Served, path: str, count: int, **request: Any) -> list[tuple[str, str, Any]]:
    """The first `count` events: name, id, data."""
    seen: list[tuple[str, str, Any]] = []
    async with httpx_sse.aconnect_sse(served.client, "GET", path, **request) as source:
        source.response.raise_for_status()
        async for each in source.aiter_sse():
            if each.data:
                seen.append((each.event, each.id, json.loads(each.data)))
            if len(seen) == count:
                break
    return seen


async def test_messages_come_with_their_seq_from_any_place_on() -> None:
    async with serving() as served:
        path = f"/v1/conversations/{await begin(served, 2)}"
        stored = (await served.client.get(f"{path}/messages")).json()["messages"]
        whole = await told(served, f"{path}/events", 4, params={"after": 0})
        rest = await told(served, f"{path}/events", 1, params={"after": 0}, headers={"Last-Event-ID": "3"})

    assert whole == [("message", str(each["seq"]), each) for each in stored]
    assert rest == whole[3:]


async def test_a_listener_who_names_no_place_hears_what_is_to_come() -> None:
    async with serving() as served:
        conversation_id = await begin(served)
        path = f"/v1/conversations/{conversation_id}/events"
        async with httpx_sse.aconnect_sse(served.client, "GET", path) as source:
            body = {"message": "more", "customer_id": "c-1", "conversation_id": conversation_id}
            await served.client.post("/v1/chat", json=body)
            async for each in source.aiter_sse():
                if each.data:
                    break

    assert json.loads(each.data)["text"] == "more"


async def test_a_record_that_cannot_be_asked_delays_messages_and_ends_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[int] = []
    real = MemoryTurns.messages

    async def away_at_first(
        self: MemoryTurns, tenant: str, conversation_id: str, *, after: int, limit: int
    ) -> Sequence[Message]:
        asked.append(after)
        if len(asked) < 3:
            raise DependencyUnavailable("sql")
        return await real(self, tenant, conversation_id, after=after, limit=limit)

    async with serving() as served:
        path = f"/v1/conversations/{await begin(served)}/events"
        monkeypatch.setattr(MemoryTurns, "messages", away_at_first)
        events = await told(served, path, 1, params={"after": 1})

    assert [event[1] for event in events] == ["2"]
    assert len(asked) == 3


async def test_conversation_streams_end_with_a_hint_when_the_server_leaves() -> None:
    async with serving() as served:
        path = f"/v1/conversations/{await begin(served)}/events"
        served.turns.leaving.set()
        events = await told(served, path, 5, params={"after": 2})

    assert events == [("drain", "2", {"retry_ms": 500})]


@pytest.mark.parametrize("path", ["conversations/conv_unknown", "turns/turn_unknown"])
async def test_what_is_not_there_has_no_events(path: str) -> None:
    async with serving() as served:
        answer = await served.client.get(f"/v1/{path}/events")

    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"


async def test_a_turn_is_told_from_the_event_after_the_last_one_that_was_heard() -> None:
    async with serving() as served:
        served.turns.script = (Delta("One. "), 0.05, Delta("Two. "), 0.05, Delta("Three."), 0.3)
        body = {"message": "hi"}
        turn_id = (
            await served.client.post("/v1/chat", json=body, headers={"Prefer": "respond-async"})
        ).json()["turn_id"]
        path = f"/v1/turns/{turn_id}/events"
        until_the_first_text = await told(served, path, 2)
        heard = until_the_first_text[-1][1]
        rest = await told(served, path, 9, headers={"Last-Event-ID": heard})
        strange = await told(served, path, 9, headers={"Last-Event-ID": "turn_other:1"})

    assert until_the_first_text[-1][2] == {"text": "One. "}
    text = "".join(data["text"] for event, _, data in rest if event == "delta")
    assert text == "Two. Three."
    assert [event for event, _, _ in rest][-2:] == ["message", "done"]
    assert strange[0][0] == "accepted"


async def test_a_running_turn_is_asked_to_stop_and_a_finished_one_answers() -> None:
    async with serving() as served:
        served.turns.script = (Delta("One."), 1.5)
        turn_id = (
            await served.client.post("/v1/chat", json={"message": "hi"}, headers={"Prefer": "respond-async"})
        ).json()["turn_id"]
        running = await served.client.post(f"/v1/turns/{turn_id}/stop")
        finished = None
        while finished is None or finished.status_code == 202:
            finished = await served.client.post(f"/v1/turns/{turn_id}/stop")

    assert (running.status_code, running.json()["status"]) == (202, "accepted")
    assert running.headers["Location"] == f"/v1/turns/{turn_id}"
    assert served.turns.stopped[0] == turn_id
    assert (finished.status_code, finished.json()["reply"]["text"]) == (200, "One.")
