"""
Streams over connections that are cut: against a served interface, each event comes once, and the text is the stored reply.
"""

import asyncio
import random
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextvars import ContextVar
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
from careline_client import (
    AsyncCareline,
    AuthenticationError,
    Careline,
    ConflictError,
    ConnectionError,
    Event,
    RetryPolicy,
    StreamError,
)
from careline_client.resources import Answer

from agent.turn.inputs import Delta, Drain, Finished, Reset, Status
from core.errors import DependencyUnavailable
from tests.careline_process import CarelineProcess
from tests.service.api_service import Served, serving

_TLS = ssl.create_default_context()  # made once: it takes longer than a request
PATIENT = RetryPolicy(attempts=60, chance=lambda: 0.0)
SCRIPT = (Status("thinking"), Reset(), Delta("Größe: "), Delta("You can "), 0.01, Delta("return it. 返品"))
KEY = "server-key-of-16-or-more"
Cuts = Iterator[int | None]


class _Cut(httpx.AsyncByteStream, httpx.SyncByteStream):
    """So many bytes, then a lost connection."""

    def __init__(self, stream: Any, left: int) -> None:
        self._stream = stream
        self._left = left

    def __iter__(self) -> Iterator[bytes]:
        for piece in self._stream:
            yield self._kept(piece)
            self._check()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for piece in self._stream:
            yield self._kept(piece)
            self._check()

    def _kept(self, piece: bytes) -> bytes:
        kept = piece[: self._left]
        self._left -= len(piece)
        return kept

    def _check(self) -> None:
        if self._left <= 0:
            raise httpx.ReadError("cut")

    def close(self) -> None:
        self._stream.close()

    async def aclose(self) -> None:
        await self._stream.aclose()


class _CuttingAsync(httpx.AsyncHTTPTransport):
    """Each of `cuts` is for one connection; None, and after the last: left whole."""

    def __init__(self, cuts: Cuts) -> None:
        super().__init__(verify=_TLS)
        self._cuts = cuts

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        response = await super().handle_async_request(request)
        return _cut(response, self._cuts)


class _Cutting(httpx.HTTPTransport):
    def __init__(self, cuts: Cuts) -> None:
        super().__init__(verify=_TLS)
        self._cuts = cuts

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        return _cut(super().handle_request(request), self._cuts)


def _cut(response: httpx.Response, cuts: Cuts) -> httpx.Response:
    if response.headers["Content-Type"].startswith("text/event-stream"):
        left = next(cuts, None)
        if left is not None:
            response.stream = _Cut(response.stream, left)
    return response


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    async with serving() as opened:
        opened.turns.script = SCRIPT
        yield opened


def _address(served: Served) -> str:
    return f"http://127.0.0.1:{served.port}"


async def _streamed(
    served: Served, cuts: Cuts, *, is_sync: bool = False, **options: Any
) -> tuple[list[Event], Any]:
    """The events of one message, and the stream that told them."""
    options = {"retries": PATIENT} | options
    if not is_sync:
        async with AsyncCareline(_address(served), transport=_CuttingAsync(cuts), **options) as client:
            stream = client.chat.stream("Can I return it?")
            return [event async for event in stream], stream

    def all_of_it() -> tuple[list[Event], Any]:
        with Careline(_address(served), transport=_Cutting(cuts), **options) as client:
            stream = client.chat.stream("Can I return it?")
            return list(stream), stream

    return await asyncio.to_thread(all_of_it)


async def _check(client: AsyncCareline, events: list[Event], stream: Any) -> None:
    """Exactly once, in order, and as it is stored."""
    numbers = [int(event.id.rpartition(":")[2]) for event in events]
    names = [event.name for event in events]
    text = ""
    for event in events:
        text = (
            ""
            if event.name == "reset"
            else text + event.data.get("text", "")
            if event.name == "delta"
            else text
        )
    assert numbers == sorted(set(numbers))
    assert (names[0], names[-2:], names.count("message")) == ("accepted", ["message", "done"], 1)
    assert stream.answer is not None
    assert text == stream.text == stream.answer["reply"]["text"]
    kept = [each async for each in client.conversations.messages(stream.answer["conversation_id"])]
    assert [each["role"] for each in kept] == ["customer", "agent"]
    assert kept[-1]["text"] == text


async def _check_stored(served: Served, events: list[Event], stream: Any) -> None:
    async with AsyncCareline(_address(served), transport=httpx.AsyncHTTPTransport(verify=_TLS)) as client:
        await _check(client, events, stream)


async def _length(served: Served) -> int:
    async with httpx.AsyncClient() as raw:
        whole = await raw.post(
            f"{_address(served)}/v1/chat",
            json={"message": "Can I return it?"},
            headers={"Accept": "text/event-stream"},
        )
    # Behind the whole message this interface's turns in memory have nothing to tell any more, and wait.
    return whole.content.rindex(b"id: ") - 1


@pytest.mark.parametrize("is_sync", [False, True])
async def test_a_stream_that_is_not_cut(served: Served, is_sync: bool) -> None:
    events, stream = await _streamed(served, iter(()), is_sync=is_sync)

    await _check_stored(served, events, stream)
    assert "reset" in [event.name for event in events]


async def test_a_cut_at_every_byte(served: Served) -> None:
    length = await _length(served)
    assert length > 300
    own: ContextVar[Cuts] = ContextVar("own")
    cuts = iter(lambda: next(own.get(), None), 0)
    async with AsyncCareline(_address(served), transport=_CuttingAsync(cuts), retries=PATIENT) as client:

        async def cut_at(byte: int) -> None:
            own.set(iter([byte]))
            stream = client.chat.stream("Can I return it?")
            events = [event async for event in stream]
            await _check(client, events, stream)

        for begin in range(1, length + 1, 20):
            await asyncio.gather(*(cut_at(byte) for byte in range(begin, min(begin + 20, length + 1))))


@pytest.mark.parametrize("is_sync", [False, True])
@pytest.mark.parametrize("seed", range(8))
async def test_many_cuts_at_random_bytes(served: Served, is_sync: bool, seed: int) -> None:
    chance = random.Random(seed)
    cuts = [
        chance.choice([None, chance.randint(1, 400)]) if n > 3 else chance.randint(1, 400) for n in range(12)
    ]
    events, stream = await _streamed(served, iter(cuts), is_sync=is_sync)

    await _check_stored(served, events, stream)


async def test_a_connection_that_brings_nothing_is_given_up_at_last(served: Served) -> None:
    impatient = RetryPolicy(attempts=3, chance=lambda: 0.0)
    with pytest.raises(ConnectionError):
        await _streamed(served, iter([5] * 9), retries=impatient)


@pytest.mark.parametrize("is_sync", [False, True])
async def test_after_a_drain_the_stream_goes_on_when_it_was_told_to(served: Served, is_sync: bool) -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    served.turns.script = (Delta("You can "), Drain(retry_ms=700), Delta("return it."))
    events, stream = await _streamed(
        served, iter(()), is_sync=is_sync, sleep=slept.append if is_sync else sleep
    )

    await _check_stored(served, events, stream)
    assert [event.name for event in events].count("drain") == 1
    assert slept == [0.7]


@pytest.mark.parametrize("is_sync", [False, True])
async def test_a_failed_turn_is_an_error_that_says_why(served: Served, is_sync: bool) -> None:
    served.turns.script = (Delta("You "), Finished(None, DependencyUnavailable("model")))
    with pytest.raises(StreamError) as raised:
        await _streamed(served, iter(()), is_sync=is_sync)

    assert raised.value.problem["status"] == 503


@pytest.mark.parametrize(("status", "kind"), [(401, AuthenticationError), (409, ConflictError)])
@pytest.mark.parametrize("at", [3, 260])
async def test_a_refusal_in_the_middle_is_raised_at_once(
    served: Served, status: int, kind: type[Exception], at: int
) -> None:
    asked = 0

    class Refusing(_CuttingAsync):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            nonlocal asked
            asked += 1
            if asked > 1:
                return httpx.Response(status, json={"title": "No", "status": status}, request=request)
            return await super().handle_async_request(request)

    async with AsyncCareline(_address(served), transport=Refusing(iter([at])), retries=PATIENT) as client:
        with pytest.raises(kind):
            [event async for event in client.chat.stream("Can I return it?")]

    assert asked == 2


async def test_a_key_that_is_withdrawn_ends_the_stream() -> None:
    async with serving(api_keys=f"shop:{KEY}") as served:
        served.turns.script = SCRIPT

        class Withdrawn(_CuttingAsync):
            async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
                if request.method == "GET":
                    request.headers["Authorization"] = "Bearer another-key-of-16-or-more"
                return await super().handle_async_request(request)

        transport = Withdrawn(iter([260]))
        async with AsyncCareline(_address(served), key=KEY, transport=transport, retries=PATIENT) as client:
            with pytest.raises(AuthenticationError):
                [event async for event in client.chat.stream("Can I return it?")]


async def test_another_text_under_the_same_id_is_a_conflict(served: Served) -> None:
    async with AsyncCareline(_address(served), retries=PATIENT) as client:
        first = await client.chat.say("One", client_message_id="cm_1")
        with pytest.raises(ConflictError):
            await client.chat.say("Two", client_message_id="cm_1", conversation_id=first["conversation_id"])


@pytest.mark.parametrize("has_drains", [False, True])
async def test_following_tells_each_message_once_over_cut_connections(
    served: Served, has_drains: bool
) -> None:
    chance = random.Random(7)
    cuts = iter(lambda: chance.randint(3, 900), 0)
    async with (
        AsyncCareline(_address(served), retries=PATIENT) as speaker,
        AsyncCareline(
            _address(served),
            transport=_CuttingAsync(cuts),
            retries=PATIENT,
            sleep=lambda _: asyncio.sleep(0.01),
        ) as client,
    ):
        first = await speaker.chat.say("The first")
        conversation = first["conversation_id"]

        async def heard() -> list[Event]:
            told: list[Event] = []
            async for event in client.conversations.follow(conversation, after=0):
                told += [event] if event.name == "message" else []
                if len(told) == 14:
                    break
            return told

        listening = asyncio.create_task(heard())
        for n in range(6):
            await speaker.chat.say(f"Message {n}", conversation_id=conversation)
            if has_drains and n % 2:
                served.turns.leaving.set()
                await asyncio.sleep(0.05)
                served.turns.leaving.clear()
        told = await asyncio.wait_for(listening, 60)

    assert [event.data["seq"] for event in told] == list(range(1, 15))


async def test_following_begins_with_what_comes(served: Served) -> None:
    async with AsyncCareline(_address(served), retries=PATIENT) as client:
        first = await client.chat.say("Before")
        following = client.conversations.follow(first["conversation_id"])
        coming = asyncio.ensure_future(anext(following))
        await asyncio.sleep(0.3)
        await client.chat.say("After", conversation_id=first["conversation_id"])
        event = await asyncio.wait_for(coming, 30)
        await cast(AsyncGenerator[Event, None], following).aclose()

    assert (event.data["text"], event.data["seq"]) == ("After", 3)


def test_a_service_that_is_killed_and_started_again_ends_the_same_stream(tmp_path: Path) -> None:
    restarts = 0

    class Restarting(_Cutting):
        """The process dies in the middle of the first connection's bytes, and the next one finds a new process."""

        def handle_request(self, request: httpx.Request) -> httpx.Response:
            nonlocal restarts
            if request.headers.get("Accept") == "text/event-stream" and restarts < 2:
                restarts += 1
                if restarts == 2:
                    service.kill()
                    service.start()
            return super().handle_request(request)

    with CarelineProcess(tmp_path) as service:
        transport = Restarting(iter([150]))
        with Careline(service.url, transport=transport, retries=PATIENT) as client:
            stream = client.chat.stream("How long does delivery take?")
            events = list(stream)
            assert stream.answer is not None
            kept = list(client.conversations.messages(stream.answer["conversation_id"]))

    numbers = [int(event.id.rpartition(":")[2]) for event in events]
    assert restarts == 2
    assert numbers == sorted(set(numbers))
    assert [event.name for event in events][-2:] == ["message", "done"]
    assert stream.text == kept[-1]["text"] == _text(stream.answer)
    assert [each["role"] for each in kept] == ["customer", "agent"]


def _text(answer: Answer) -> str:
    reply = answer.get("reply")
    return reply["text"] if reply is not None else ""
