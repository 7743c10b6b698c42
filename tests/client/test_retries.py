"""The table of what is tried again and when, row by row, for both clients."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from functools import partial
from typing import Any

import httpx
import pytest
from careline_client import (
    NO_RETRIES,
    APIError,
    AsyncCareline,
    AuthenticationError,
    Careline,
    CarelineError,
    ConflictError,
    ConnectionError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitError,
    RetryPolicy,
    ServerError,
    TimeoutError,
    ValidationError,
)
from careline_client.fake import Failure, FakeCareline

from tests.client.speaking import Speaking, passing, speaking_to

CLASSES = "/api/v1/agent-classes"
CALLS: dict[str, Callable[[Any, str], Any]] = {
    "GET": lambda library, id: library.agent_classes.get(id),
    "PATCH": lambda library, id: library.agent_classes.update(id, {"description": "kind"}),
    "DELETE": lambda library, id: library.agent_classes.delete(id),
    "POST with a key": lambda library, id: library.agent_classes.create({"name": "New"}),
    "POST": lambda library, id: library.request("POST", CLASSES, body={"name": "New"}),
}
REPEATABLE = {"GET", "PATCH", "DELETE", "POST with a key"}
ALWAYS: list[Failure] = [429, httpx.ConnectError("no"), httpx.ConnectTimeout("no"), httpx.PoolTimeout("no")]
IF_REPEATABLE: list[Failure] = [
    502,
    503,
    504,
    httpx.ReadTimeout("slow"),
    httpx.WriteTimeout("slow"),
    httpx.ReadError("cut"),
    httpx.WriteError("cut"),
    httpx.RemoteProtocolError("cut"),
]
NEVER: list[Failure] = [400, 401, 403, 404, 409, 413, 422, 500, 501]
KINDS: dict[int, type[APIError]] = {
    400: ValidationError,
    401: AuthenticationError,
    403: PermissionDeniedError,
    404: NotFoundError,
    409: ConflictError,
    413: APIError,
    422: ValidationError,
    429: RateLimitError,
    500: ServerError,
    503: ServerError,
}


@pytest.fixture
async def speaking(fake: FakeCareline, is_sync: bool) -> AsyncIterator[Speaking]:
    policy = RetryPolicy(clock=passing(fake), chance=lambda: 1.0)
    opened = speaking_to(fake, is_sync=is_sync, policy=policy)
    yield opened
    await opened.close()


async def _asked(
    speaking: Speaking, fake: FakeCareline, call: str, failure: Failure, *, times: int = 1, **planned: Any
) -> CarelineError | None:
    """What the call raises when it fails so many times."""
    made = await speaking(lambda library: library.agent_classes.create({"name": "Old"}))
    fake.requests.clear()
    fake.fails(failure, times=times, method=call.partition(" ")[0], **planned)
    try:
        await speaking(lambda library: CALLS[call](library, made["id"]))
    except CarelineError as error:
        return error
    return None


def _named(value: object) -> str:
    return type(value).__name__ if isinstance(value, Exception) else str(value)


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("failure", [*ALWAYS, *IF_REPEATABLE, *NEVER], ids=_named)
async def test_a_row_of_the_table(
    speaking: Speaking, fake: FakeCareline, call: str, failure: Failure
) -> None:
    error = await _asked(speaking, fake, call, failure)

    is_repeated = failure in ALWAYS or (failure in IF_REPEATABLE and call in REPEATABLE)
    assert (len(fake.requests), error is None) == ((2, True) if is_repeated else (1, False))


@pytest.mark.parametrize(("status", "kind"), KINDS.items())
async def test_each_status_has_its_error(
    speaking: Speaking, fake: FakeCareline, status: int, kind: type[APIError]
) -> None:
    error = await _asked(speaking, fake, "GET", status, times=9, headers={"X-Request-ID": "req_theirs"})

    assert type(error) is kind
    assert isinstance(error, APIError)
    assert (error.status, error.request_id, str(error)) == (status, "req_theirs", f"{status}: as planned")


async def test_no_more_than_five_tries(speaking: Speaking, fake: FakeCareline) -> None:
    error = await _asked(speaking, fake, "GET", 503, times=9)

    assert isinstance(error, ServerError)
    assert len(fake.requests) == 5
    assert fake.slept == [0.5, 1.0, 2.0, 4.0]


@pytest.mark.parametrize("chance", [0.0, 0.25, 0.999])
def test_a_pause_is_drawn_between_nothing_and_its_longest(chance: float) -> None:
    policy = RetryPolicy(chance=lambda: chance)

    assert [policy.backoff(n) / chance if chance else policy.backoff(n) for n in range(1, 8)] == (
        pytest.approx([0.5, 1.0, 2.0, 4.0, 8.0, 8.0, 8.0]) if chance else [0.0] * 7
    )


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("is_date", [False, True])
async def test_retry_after_is_waited_for_in_both_forms(
    speaking: Speaking, fake: FakeCareline, status: int, is_date: bool
) -> None:
    told = format_datetime(datetime.now(UTC) + timedelta(seconds=8), usegmt=True) if is_date else "8"
    error = await _asked(speaking, fake, "GET", status, headers={"Retry-After": told})

    assert error is None
    assert fake.slept == [pytest.approx(8.0, abs=2.0 if is_date else 0.0)]


async def test_retry_after_is_no_reason_for_a_shorter_pause_of_503(
    speaking: Speaking, fake: FakeCareline
) -> None:
    await _asked(speaking, fake, "GET", 503, headers={"Retry-After": "0"})

    assert fake.slept == [0.5]


@pytest.mark.parametrize("told", ["soon", "", "Wed, 99 Foo 2026", "-5"])
async def test_a_retry_after_that_means_nothing_is_none(
    speaking: Speaking, fake: FakeCareline, told: str
) -> None:
    error = await _asked(speaking, fake, "GET", 429, headers={"Retry-After": told})

    assert error is None
    assert fake.slept == [0.0 if told == "-5" else 0.5]


async def test_a_retry_after_beyond_all_patience_is_raised(speaking: Speaking, fake: FakeCareline) -> None:
    error = await _asked(speaking, fake, "GET", 429, headers={"Retry-After": "3600"})

    assert isinstance(error, RateLimitError)
    assert (error.retry_after, fake.slept) == (3600.0, [])


async def test_the_whole_ends_in_time_and_so_does_its_last_attempt(fake: FakeCareline, is_sync: bool) -> None:
    policy = RetryPolicy(clock=passing(fake), total_seconds=10.0)
    speaking = speaking_to(fake, is_sync=is_sync, policy=policy)
    error = await _asked(speaking, fake, "GET", 429, times=9, headers={"Retry-After": "4"})
    await speaking.close()

    assert isinstance(error, RateLimitError)
    assert fake.slept == [4.0, 4.0]
    assert [each.extensions["timeout"]["read"] for each in fake.requests] == [10.0, 6.0, 2.0]


@pytest.mark.parametrize("call", CALLS)
async def test_all_tries_of_a_call_have_one_request_id_and_one_key(
    speaking: Speaking, fake: FakeCareline, call: str
) -> None:
    await _asked(speaking, fake, call, 429, times=3)
    await speaking(lambda library: library.agent_classes.create({"name": "Another"}))

    *tries, other = fake.requests
    assert len(tries) == 4
    assert len({each.headers["X-Request-ID"] for each in tries}) == 1
    assert len({each.headers.get("Idempotency-Key") for each in tries}) == 1
    assert ("Idempotency-Key" in tries[0].headers) is (call == "POST with a key")
    assert other.headers["X-Request-ID"] != tries[0].headers["X-Request-ID"]
    assert other.headers["Idempotency-Key"] != tries[0].headers.get("Idempotency-Key")


async def test_a_creation_whose_answer_was_lost_happens_once(speaking: Speaking, fake: FakeCareline) -> None:
    error = await _asked(
        speaking, fake, "POST with a key", httpx.ReadError("cut"), times=2, is_after_the_write=True
    )

    assert error is None
    assert [each["name"] for each in fake.kept("agent-classes")] == ["New", "Old"]


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(
    ("failures", "is_unknown"),
    [
        ([500], True),
        ([503], True),
        ([httpx.ReadTimeout("slow")], True),
        ([httpx.ReadError("cut")], True),
        ([httpx.ConnectError("no")], False),
        ([429], False),
        ([409], False),
        ([503, 429], True),
        ([503, 422], False),
        ([httpx.ReadError("cut"), httpx.ConnectError("no")], True),
    ],
    ids=repr,
)
async def test_an_error_tells_whether_it_may_have_been_done(
    fake: FakeCareline, is_sync: bool, call: str, failures: list[Failure], is_unknown: bool
) -> None:
    if call == "POST" and len(failures) > 1:
        failures, is_unknown = failures[:1], True
    policy = RetryPolicy(clock=passing(fake), attempts=len(failures))
    speaking = speaking_to(fake, is_sync=is_sync, policy=policy)
    made = await speaking(lambda library: library.agent_classes.create({"name": "Old"}))
    for each in failures:
        fake.fails(each, method=call.partition(" ")[0])
    with pytest.raises(CarelineError) as raised:
        await speaking(lambda library: CALLS[call](library, made["id"]))
    await speaking.close()

    assert raised.value.outcome_unknown is (is_unknown and call != "GET")
    assert raised.value.request_id == fake.requests[-1].headers["X-Request-ID"]


async def test_a_deletion_found_done_by_a_lost_try_is_done(speaking: Speaking, fake: FakeCareline) -> None:
    fake.fails(httpx.ReadError("cut"), method="DELETE", is_after_the_write=True)
    fake.fails(404, method="DELETE")
    made = await speaking(lambda library: library.agent_classes.create({"name": "Old"}))
    await speaking(lambda library: library.agent_classes.delete(made["id"]))

    assert fake.kept("agent-classes") == []
    with pytest.raises(NotFoundError):
        await speaking(lambda library: library.agent_classes.delete(made["id"]))


@pytest.mark.parametrize(("kind", "where"), [("asyncio", "headers"), ("asyncio", "body"), ("sync", "body")])
async def test_an_answer_that_drips_ends_with_its_attempt(kind: str, where: str) -> None:
    """httpx without asyncio gives no hold on a request before its headers are whole: those it waits for as long as they come."""
    is_over = asyncio.Event()

    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\n")
        writer.write(b"Content-Length: 100000\r\n\r\n" if where == "body" else b"X: ")
        while not is_over.is_set():
            writer.write(b"y")
            await asyncio.sleep(0.02)
        writer.close()

    server = await asyncio.start_server(drip, "127.0.0.1", 0)
    address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    options: dict[str, Any] = {"timeout_seconds": 0.5, "retries": NO_RETRIES}
    try:
        async with asyncio.timeout(20):
            with pytest.raises(TimeoutError):
                await _health(kind, address, options)
    finally:
        is_over.set()
        server.close()
        await asyncio.sleep(0.1)


async def _health(kind: str, address: str, options: dict[str, Any]) -> None:
    if kind == "asyncio":
        async with AsyncCareline(address, **options) as library:
            await library.health()
        return
    with Careline(address, **options) as library:
        await asyncio.to_thread(library.health)


@pytest.mark.parametrize("id", ["", ".", ".."])
async def test_an_id_that_would_name_another_route_is_refused(
    speaking: Speaking, fake: FakeCareline, id: str
) -> None:
    for call in ("GET", "PATCH", "DELETE"):
        with pytest.raises(ValueError, match="is no id"):
            await speaking(partial(_called_with, CALLS[call], id))
    assert fake.requests == []


def _called_with(call: Callable[[Any, str], Any], id: str, library: Any) -> Any:
    return call(library, id)


async def test_an_id_stays_one_part_of_the_path(speaking: Speaking, fake: FakeCareline) -> None:
    with pytest.raises(ValidationError):
        await speaking(lambda library: library.agent_classes.get("a/b?c#d"))

    assert fake.requests[0].url.raw_path == f"{CLASSES}/a%2Fb%3Fc%23d".encode()


async def test_no_connection_is_one_error_of_the_tree(is_sync: bool) -> None:

    kind: Any = Careline if is_sync else AsyncCareline
    speaking = Speaking(kind("http://127.0.0.1:9", retries=NO_RETRIES))
    with pytest.raises(ConnectionError) as raised:
        await speaking(lambda library: library.health())
    await speaking.close()

    assert raised.value.was_sent is False
    assert raised.value.outcome_unknown is False
