"""The cap on open turns: who is refused, how, and that permits come back."""

import asyncio
import random
from collections.abc import Sequence

import orjson
import pytest
from starlette.types import Message, Receive, Scope, Send

from agent.api.admission import Admission, most_turns
from agent.api.origins import Origins
from core.telemetry.metrics import Metrics
from tests.service.api_service import settings_for_tests


class Handler:
    """An application that answers when it is told to."""

    def __init__(self) -> None:
        self.may_end = asyncio.Event()
        self.served = 0
        self.failure: Exception | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.served += 1
        await self.may_end.wait()
        if self.failure is not None:
            raise self.failure


async def ask(
    app: Admission,
    *,
    method: str = "POST",
    path: str = "/v1/chat",
    given: Sequence[tuple[bytes, bytes]] = (),
) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body; status 0 where the application sent nothing. The body must not be read."""
    status, headers, body = 0, dict[str, str](), b""

    async def send(message: Message) -> None:
        nonlocal status, headers, body
        if message["type"] == "http.response.start":
            status = message["status"]
            headers = {name.decode().lower(): value.decode() for name, value in message["headers"]}
        else:
            body += message["body"]

    async def receive() -> Message:
        raise AssertionError("a refusal read the body")

    scope = {"type": "http", "method": method, "path": path, "headers": list(given), "state": {}}
    await app(scope, receive, send)
    return status, headers, body


def admission(handler: Handler, metrics: Metrics | None = None) -> Admission:
    return Admission(
        handler,
        most_turns=2,
        rng=random.Random(1),
        origins=Origins(("https://shop.example",), is_local=False),
        metrics=metrics or Metrics(),
    )


async def fill(app: Admission) -> list["asyncio.Task[tuple[int, dict[str, str], bytes]]"]:
    tasks = [asyncio.create_task(ask(app)) for _ in range(2)]
    await asyncio.sleep(0)
    return tasks


async def test_one_more_than_may_be_is_refused_at_once_and_nothing_was_stored() -> None:
    handler, metrics = Handler(), Metrics()
    app = admission(handler, metrics)
    await fill(app)

    status, headers, body = await ask(app)

    problem = orjson.loads(body)
    assert status == 503
    assert 1 <= int(headers["retry-after"]) <= 5
    assert (problem["code"], problem["retryable"], problem["stored"]) == ("service_unavailable", True, False)
    assert handler.served == 2
    assert b"careline_messages_shed_total 1.0" in metrics.render()


async def test_calls_of_mcp_clients_are_counted_with_the_turns() -> None:
    handler, metrics = Handler(), Metrics()
    app = admission(handler, metrics)
    await fill(app)

    status, headers, body = await ask(app, path="/mcp")

    assert (status, orjson.loads(body)["code"]) == (503, "service_unavailable")
    assert "retry-after" in headers
    assert b"careline_messages_shed_total 0.0" in metrics.render()


async def test_a_refusal_names_the_request_and_can_be_read_by_the_page_that_sent_it() -> None:
    metrics = Metrics()
    app = admission(Handler(), metrics)
    await fill(app)
    given = ((b"x-request-id", b"mine-1"), (b"origin", b"https://shop.example"))

    _, headers, body = await ask(app, given=given)
    _, unnamed, _ = await ask(app, given=((b"x-request-id", b'"}{'),))

    assert orjson.loads(body)["request_id"] == headers["x-request-id"] == "mine-1"
    assert headers["access-control-allow-origin"] == "https://shop.example"
    assert int(headers["content-length"]) == len(body)
    assert unnamed["x-request-id"].startswith("req_")
    counted = b'careline_http_requests_total{method="POST",route="/v1/chat",status="503"} 2.0'
    assert counted in metrics.render()


async def test_those_who_are_refused_together_do_not_come_back_together() -> None:
    app = admission(Handler())
    await fill(app)

    waits = {(await ask(app))[1]["retry-after"] for _ in range(50)}

    assert len(waits) > 2


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/livez"), ("GET", "/metrics"), ("GET", "/v1/turns/turn_1"), ("OPTIONS", "/v1/chat")],
)
async def test_what_begins_no_turn_is_never_refused(method: str, path: str) -> None:
    handler = Handler()
    app = admission(handler)
    await fill(app)
    handler.may_end.set()

    status, _, _ = await ask(app, method=method, path=path)

    assert status == 0
    assert handler.served == 3


@pytest.mark.parametrize("end", ["answered", "failed", "caller gone"])
async def test_however_a_turn_ends_there_is_room_again(end: str) -> None:
    handler = Handler()
    app = admission(handler)
    tasks = await fill(app)
    if end == "failed":
        handler.failure = RuntimeError("broken")
    if end == "caller gone":
        for task in tasks:
            task.cancel()
    else:
        handler.may_end.set()
    await asyncio.gather(*tasks, return_exceptions=True)
    handler.failure = None
    handler.may_end.set()

    status, _, _ = await ask(app)

    assert status == 0
    assert handler.served == 3


def test_the_cap_follows_what_answers_unless_it_is_set() -> None:
    assert most_turns(settings_for_tests()) == 32
    assert most_turns(settings_for_tests(model_url="http://127.0.0.1:1/v1")) == 200
    assert most_turns(settings_for_tests(max_turns=7)) == 7
