"""Two real replicas with one record: streams go on at the other one, turns are stopped from it, and a replica leaves in time."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import httpx_sse
import pytest

from tests.careline_process import CarelineProcess
from tests.service.scripted_model import ScriptedModelServer, Stage, says
from tests.timing import assert_within

DRAIN_SECONDS = 1.0


async def hesitates(stage: Stage) -> None:
    """Takes the question, and then says nothing for longer than any test takes."""
    await stage.head()
    await stage.delta({"role": "assistant", "content": "Hello! "})
    await asyncio.sleep(60)


@dataclass(frozen=True)
class Seen:
    event: str
    id: str
    data: Any


class Page:
    """What a client that follows a stream over its connections holds."""

    def __init__(self) -> None:
        self.seen: list[Seen] = []
        self.text = ""

    async def read(
        self, events: AsyncIterator[httpx_sse.ServerSentEvent], *, until: str | None = None
    ) -> None:
        async for each in events:
            if not each.data:
                continue  # a comment keeps the connection alive
            seen = Seen(each.event, each.id, json.loads(each.data))
            self.seen.append(seen)
            if seen.event == "reset":
                self.text = ""
            elif seen.event == "delta":
                self.text += seen.data["text"]
            if seen.event == until:
                return

    @property
    def last(self) -> Seen:
        return self.seen[-1]

    def first(self, event: str) -> Seen:
        return next(each for each in self.seen if each.event == event)


@pytest.fixture
async def model() -> AsyncIterator[ScriptedModelServer]:
    async with ScriptedModelServer(hesitates) as server:
        yield server


@pytest.fixture(params=["redis", "sql"])
def shared(request: pytest.FixtureRequest, tmp_path: Path, model: ScriptedModelServer) -> dict[str, str]:
    """The settings that both replicas have."""
    settings = {
        "database_url": f"sqlite+aiosqlite:///{tmp_path / 'careline.db'}",
        "model_url": model.url,
        "model_timeout_seconds": "30",
        "drain_seconds": str(DRAIN_SECONDS),
        "rate_limit_per_customer": "0",
    }
    if request.param == "redis":
        settings["redis_url"] = request.getfixturevalue("redis_url")
    return settings


@contextmanager
def two_replicas(folder: Path, shared: dict[str, str]) -> Iterator[tuple[CarelineProcess, CarelineProcess]]:
    with (
        CarelineProcess(folder, {**shared, "data_dir": str(folder / "one")}) as one,
        CarelineProcess(folder, {**shared, "data_dir": str(folder / "two")}) as two,
    ):
        yield one, two


@pytest.fixture
async def replicas(
    tmp_path: Path, shared: dict[str, str]
) -> AsyncIterator[tuple[CarelineProcess, CarelineProcess]]:
    """Started beside the loop, in which the model server runs."""
    opening = two_replicas(tmp_path, shared)
    yield await asyncio.to_thread(opening.__enter__)
    await asyncio.to_thread(opening.__exit__, None, None, None)


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(timeout=30) as client:
        yield client


@pytest.mark.alone
async def test_a_stream_goes_on_at_another_replica_while_the_first_still_runs_the_turn(
    replicas: tuple[CarelineProcess, CarelineProcess], client: httpx.AsyncClient
) -> None:
    one, two = replicas
    page = Page()
    async with httpx_sse.aconnect_sse(
        client, "POST", f"{one.url}/v1/chat", json={"message": "hello"}
    ) as source:
        await page.read(source.aiter_sse(), until="accepted")
    turn_id = page.last.data["turn_id"]

    async with httpx_sse.aconnect_sse(
        client, "GET", f"{two.url}/v1/turns/{turn_id}/events", headers={"Last-Event-ID": page.last.id}
    ) as source:
        await page.read(source.aiter_sse(), until="status")
    began = time.monotonic()
    stopped = await client.post(f"{two.url}/v1/turns/{turn_id}/stop")
    took = time.monotonic() - began
    async with httpx_sse.aconnect_sse(
        client, "GET", f"{two.url}/v1/turns/{turn_id}/events", headers={"Last-Event-ID": page.last.id}
    ) as source:
        await page.read(source.aiter_sse())

    assert stopped.status_code == 200
    assert stopped.json()["reply"]["text"].endswith("I stopped here, as you asked.")
    assert stopped.json()["reply"]["text"] == page.text == page.first("message").data["reply"]["text"]
    assert page.last.event == "done"
    again = await client.post(f"{one.url}/v1/turns/{turn_id}/stop")
    assert again.json() == stopped.json()
    assert_within(took, 1.0)


@pytest.mark.alone
async def test_a_replica_that_leaves_with_open_streams_leaves_in_time_and_another_goes_on(
    replicas: tuple[CarelineProcess, CarelineProcess], client: httpx.AsyncClient, model: ScriptedModelServer
) -> None:
    one, two = replicas
    page, watched = Page(), Page()
    async with httpx_sse.aconnect_sse(
        client, "POST", f"{one.url}/v1/chat", json={"message": "hello"}
    ) as source:
        turn_events = source.aiter_sse()
        await page.read(turn_events, until="status")
        accepted = page.first("accepted").data
        conversation = f"/v1/conversations/{accepted['conversation_id']}/events"
        async with httpx_sse.aconnect_sse(
            client, "GET", f"{one.url}{conversation}", params={"after": 0}
        ) as conversation_stream:
            messages = conversation_stream.aiter_sse()
            await watched.read(messages, until="message")
            while not model.requests:  # noqa: ASYNC110 - filled by a server in another thread
                await asyncio.sleep(0.02)
            model.play(says("Hello again! How can I help you?"))
            began = time.monotonic()
            leaving = asyncio.create_task(asyncio.to_thread(one.terminate))
            await asyncio.gather(watched.read(messages), page.read(turn_events))
            await leaving
            took = time.monotonic() - began

    assert page.last.event == watched.last.event == "drain"
    assert page.last.data["retry_ms"] > 0
    began = time.monotonic()
    async with httpx_sse.aconnect_sse(
        client,
        "GET",
        f"{two.url}/v1/turns/{accepted['turn_id']}/events",
        headers={"Last-Event-ID": page.last.id},
    ) as source:
        await page.read(source.aiter_sse())
    resumed = time.monotonic() - began
    async with httpx_sse.aconnect_sse(
        client, "GET", f"{two.url}{conversation}", headers={"Last-Event-ID": watched.last.id}
    ) as conversation_stream:
        await watched.read(conversation_stream.aiter_sse(), until="message")

    stored = (await client.get(f"{two.url}/v1/conversations/{accepted['conversation_id']}/messages")).json()[
        "messages"
    ]
    assert [each["role"] for each in stored] == ["customer", "agent"]
    assert page.text == stored[1]["text"] == page.first("message").data["reply"]["text"]
    assert [each.data for each in watched.seen if each.event == "message"] == stored
    assert_within(took, DRAIN_SECONDS + 1.0)
    assert_within(resumed, 2.0)


async def test_a_duplicate_at_another_replica_waits_for_the_same_answer(
    replicas: tuple[CarelineProcess, CarelineProcess], client: httpx.AsyncClient
) -> None:
    one, two = replicas
    body = {"message": "hello", "client_message_id": "m1"}
    first = asyncio.create_task(client.post(f"{one.url}/v1/chat", json=body))
    await asyncio.sleep(0.3)
    second = asyncio.create_task(client.post(f"{two.url}/v1/chat", json=body))
    at_once = await client.post(f"{two.url}/v1/chat", json=body, headers={"Prefer": "respond-async"})
    await client.post(f"{two.url}/v1/turns/{at_once.json()['turn_id']}/stop")

    answers = await asyncio.gather(first, second)

    assert (at_once.status_code, at_once.json()["status"]) == (202, "accepted")
    assert at_once.headers["Preference-Applied"] == "respond-async"
    assert [each.status_code for each in answers] == [200, 200]
    assert answers[0].json() == answers[1].json()
