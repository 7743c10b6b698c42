"""What hooks are told, and the spans that OpenTelemetry gets."""

from typing import Any

import httpx
import pytest
from careline_client import Call, CarelineError, NotFoundError, OpenTelemetryHook, RetryPolicy
from careline_client.fake import FakeCareline
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from tests.client.speaking import Speaking, passing, speaking_to

CLASSES = "/api/v1/agent-classes"


class _Noted:
    def __init__(self) -> None:
        self.told: list[tuple[Any, ...]] = []

    def began(self, call: Call) -> dict[str, str]:
        self.told.append(("began", call.method, call.path))
        return {"X-Ours": call.request_id}

    def repeats(self, call: Call, failure: CarelineError, seconds: float) -> None:
        self.told.append(("repeats", type(failure).__name__, seconds))

    def ended(self, call: Call, status: int | None, failure: BaseException | None) -> None:
        self.told.append(("ended", status, type(failure).__name__ if failure else None))


def _speaking(fake: FakeCareline, *, is_sync: bool, hook: Any) -> Speaking:
    policy = RetryPolicy(clock=passing(fake), chance=lambda: 1.0)
    return speaking_to(fake, is_sync=is_sync, policy=policy, hooks=[hook])


async def test_a_hook_hears_of_a_call_its_repetitions_and_its_end(fake: FakeCareline, is_sync: bool) -> None:
    noted = _Noted()
    speaking = _speaking(fake, is_sync=is_sync, hook=noted)
    fake.fails(503, times=2)
    await speaking(lambda library: library.agent_classes.list())
    with pytest.raises(NotFoundError):
        await speaking(lambda library: library.agent_classes.get("00000000-0000-0000-0000-000000000000"))
    fake.fails(httpx.ConnectError("no"), times=9)
    with pytest.raises(CarelineError):
        await speaking(lambda library: library.health())
    await speaking.close()

    assert noted.told[:4] == [
        ("began", "GET", CLASSES),
        ("repeats", "ServerError", 0.5),
        ("repeats", "ServerError", 1.0),
        ("ended", 200, None),
    ]
    assert noted.told[5] == ("ended", 404, "NotFoundError")
    assert noted.told[-1] == ("ended", None, "ConnectionError")
    assert fake.requests[0].headers["X-Ours"] == fake.requests[0].headers["X-Request-ID"]


async def test_a_stream_is_one_call(fake: FakeCareline, is_sync: bool) -> None:
    noted = _Noted()
    speaking = _speaking(fake, is_sync=is_sync, hook=noted)
    fake.fails(httpx.ReadError("cut"))
    await speaking.all(lambda library: library.chat.stream("Hello"))
    await speaking.close()

    assert noted.told == [
        ("began", "POST", "/v1/chat"),
        ("repeats", "ConnectionError", 0.5),
        ("ended", 200, None),
    ]
    assert len({each.headers["X-Request-ID"] for each in fake.requests}) == 1


async def test_who_stops_reading_has_not_failed(fake: FakeCareline, is_sync: bool) -> None:
    noted = _Noted()
    speaking = _speaking(fake, is_sync=is_sync, hook=noted)
    events = speaking.library.chat.stream("Hello").__iter__() if is_sync else None
    if events is not None:
        next(events)
        events.close()
    else:
        following = speaking.library.chat.stream("Hello").__aiter__()
        await anext(following)
        await following.aclose()
    await speaking.close()

    assert noted.told[-1] == ("ended", 200, None)


async def test_an_interrupt_ends_the_call(fake: FakeCareline, is_sync: bool) -> None:
    def interrupted(request: httpx.Request) -> None:
        raise KeyboardInterrupt

    noted = _Noted()
    speaking = _speaking(fake, is_sync=is_sync, hook=noted)
    fake.meanwhile = interrupted
    with pytest.raises(KeyboardInterrupt):
        await speaking(lambda library: library.health())
    await speaking.close()

    assert noted.told[-1] == ("ended", None, "KeyboardInterrupt")


async def test_opentelemetry_gets_a_client_span_and_the_service_its_context(
    fake: FakeCareline, is_sync: bool
) -> None:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracer = provider.get_tracer("test")
    speaking = _speaking(fake, is_sync=is_sync, hook=OpenTelemetryHook(tracer))
    fake.fails(503)
    with tracer.start_as_current_span("outer") as outer:
        await speaking(lambda library: library.agent_classes.list())
    fake.fails(404)
    with pytest.raises(NotFoundError):
        await speaking(lambda library: library.health())
    await speaking.close()

    good, _, bad = exporter.get_finished_spans()
    assert (good.name, good.kind) == ("GET", SpanKind.CLIENT)
    assert good.parent is not None
    assert good.parent.span_id == outer.get_span_context().span_id
    assert good.attributes is not None
    assert dict(good.attributes) == {
        "http.request.method": "GET",
        "url.path": CLASSES,
        "careline.request_id": fake.requests[0].headers["X-Request-ID"],
        "http.response.status_code": 200,
    }
    assert [event.name for event in good.events] == ["retry"]
    parent = f"00-{good.context.trace_id:032x}-{good.context.span_id:016x}-"
    assert all(each.headers["traceparent"].startswith(parent) for each in fake.requests[:2])
    assert bad.status.status_code is StatusCode.ERROR
    assert [event.name for event in bad.events] == ["exception"]
