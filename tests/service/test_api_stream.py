"""POST /v1/chat as server-sent events."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx_sse
import pytest

from agent.turn.inputs import Delta, Drain, Finished, Reset, Status, TurnEvent
from core.errors import DependencyTimeout
from tests.service.api_service import MemoryTurns, Served, serving


@dataclass(frozen=True)
class Seen:
    event: str
    id: str
    data: Any


async def streamed(served: Served, message: str = "hi", **fields: Any) -> list[Seen]:
    body = {"message": message, **fields}
    async with httpx_sse.aconnect_sse(served.client, "POST", "/v1/chat", json=body) as source:
        return [Seen(each.event, each.id, json.loads(each.data)) async for each in source.aiter_sse()]


async def test_a_turn_is_told_from_acceptance_to_the_end() -> None:
    async with serving() as served:
        events = await streamed(served)

    names = [each.event for each in events]
    assert names[0] == "accepted"
    assert names[-2:] == ["message", "done"]
    assert set(events[0].data) == {"conversation_id", "turn_id", "message_id", "durability"}
    turn_id = events[0].data["turn_id"]
    numbers = [int(each.id.removeprefix(f"{turn_id}:")) for each in events]
    assert numbers == sorted(numbers)


async def test_the_reply_is_exactly_the_deltas_since_the_last_reset() -> None:
    async with serving() as served:
        served.turns.script = (Delta("Wrong. "), 0.02, Reset(), 0.02, Delta("Right. "), 0.02, Delta("Yes."))
        with_reset = await streamed(served)

    shown = ""
    for each in with_reset:
        if each.event == "reset":
            shown = ""
        elif each.event == "delta":
            shown += each.data["text"]
    assert shown == with_reset[-2].data["reply"]["text"]


async def test_pieces_that_are_ready_together_travel_together() -> None:
    async with serving() as served:
        served.turns.script = tuple(Delta(f"{n} ") for n in range(200))
        events = await streamed(served)

    deltas = [each for each in events if each.event == "delta"]
    assert len(deltas) < 100
    assert "".join(each.data["text"] for each in deltas) == "".join(f"{n} " for n in range(200))


async def test_a_resent_message_is_told_whole() -> None:
    async with serving() as served:
        await streamed(served, client_message_id="m1")
        again = await streamed(served, client_message_id="m1")

    assert [each.event for each in again] == ["accepted", "delta", "message", "done"]
    assert again[1].data["text"] == again[2].data["reply"]["text"]
    assert len(served.turns.submitted) == 1


async def test_a_phase_names_its_tool_only_where_there_is_one() -> None:
    async with serving() as served:
        served.turns.script = (
            Status("thinking"),
            0.02,
            Status("calling", tool="open_ticket"),
            Delta("Done."),
        )
        events = await streamed(served)

    phases = [each.data for each in events if each.event == "status"]
    assert phases == [{"phase": "thinking"}, {"phase": "calling", "tool": "open_ticket"}]


async def test_a_turn_without_an_answer_ends_in_a_problem() -> None:
    async with serving() as served:
        served.turns.script = (Finished(None, DependencyTimeout("sql", "db-7.internal")),)
        events = await streamed(served)

    assert [each.event for each in events] == ["accepted", "error", "done"]
    assert events[1].data["code"] == "timeout_error"
    assert events[1].data["stored"] is True
    assert "db-7" not in json.dumps(events[1].data)


async def test_events_that_break_off_still_end_for_the_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(
        self: MemoryTurns, tenant: str, turn_id: str, *, after: int = 0
    ) -> AsyncIterator[tuple[int, TurnEvent]]:
        yield 1, Delta("Half ")
        raise RuntimeError("secret")

    monkeypatch.setattr(MemoryTurns, "events", broken)
    async with serving() as served:
        events = await streamed(served)

    assert [each.event for each in events] == ["accepted", "delta", "error", "done"]
    assert "secret" not in repr(events) + repr(served.log.events)


async def test_a_server_that_leaves_tells_when_to_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    async def draining(
        self: MemoryTurns, tenant: str, turn_id: str, *, after: int = 0
    ) -> AsyncIterator[tuple[int, TurnEvent]]:
        yield 1, Drain(retry_ms=500)

    monkeypatch.setattr(MemoryTurns, "events", draining)
    async with serving() as served:
        events = await streamed(served)

    assert [(each.event, each.data) for each in events[1:]] == [("drain", {"retry_ms": 500})]


async def test_a_reader_who_leaves_does_not_stop_the_turn() -> None:
    async with serving() as served:
        served.turns.script = (Delta("One. "), 0.3, Delta("Two."))
        async with httpx_sse.aconnect_sse(
            served.client, "POST", "/v1/chat", json={"message": "hi"}
        ) as source:
            async for each in source.aiter_sse():
                turn_id = json.loads(each.data)["turn_id"]
                break
        await asyncio.sleep(0.5)
        answer = await served.client.get(f"/v1/turns/{turn_id}")

    assert answer.json()["reply"]["text"] == "One. Two."
    assert not [each for each in served.log.events if each["event"] == "http.crashed"]


async def test_nothing_on_the_way_may_keep_or_hold_back_a_stream() -> None:
    async with (
        serving() as served,
        httpx_sse.aconnect_sse(served.client, "POST", "/v1/chat", json={"message": "hi"}) as source,
    ):
        headers = source.response.headers
        await source.response.aread()

    assert headers["content-type"].startswith("text/event-stream")
    assert headers["cache-control"] == "no-store"
    assert headers["x-accel-buffering"] == "no"


async def test_a_refused_message_is_a_problem_and_no_stream() -> None:
    async with serving() as served:
        answer = await served.client.post(
            "/v1/chat", json={"message": ""}, headers={"Accept": "text/event-stream"}
        )

    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
