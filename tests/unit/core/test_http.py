"""Claims about HTTP's ways to fail, each made to happen on a real socket, through both clients."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import httpx
import pytest

from core.errors import (
    CarelineError,
    Conflict,
    DependencyError,
    DependencyForbidsUs,
    DependencyRefusedUs,
    DependencyRejectedInput,
    DependencyTimeout,
    DependencyUnavailable,
    ExternalApiFailed,
    NetworkFailed,
    NotFound,
    RateLimited,
    ToolMisconfigured,
)
from core.http import make_client, make_model_client, parse_retry_after, raise_for_answer, translate

MakeClient = Callable[..., httpx.AsyncClient]
NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

both_clients = pytest.mark.parametrize("make", [make_client, make_model_client])


class Server:
    """Reads a request, then sends the given pieces, and closes or stays silent."""

    def __init__(self, *pieces: bytes, stays: bool = False) -> None:
        self._pieces = pieces
        self._stays = stays
        self.requests: list[bytes] = []
        self._gone = asyncio.Event()

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[str]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        try:
            yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        finally:
            self._gone.set()
            server.close()
            await server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        self.requests.append(head)
        for piece in self._pieces:
            writer.write(piece)
            await writer.drain()
        if self._stays:
            await self._gone.wait()
        writer.close()


async def failure_of(
    make: MakeClient, base_url: str, *, method: str = "POST", timeout_seconds: float = 0.3
) -> CarelineError:
    async with make("tickets", base_url=base_url, timeout_seconds=timeout_seconds) as client:
        try:
            await client.request(method, "/tickets")
        except Exception as exc:
            return translate("tickets", exc)
    raise AssertionError("the request succeeded")


def fate(error: CarelineError) -> tuple[type[CarelineError], bool]:
    assert isinstance(error, DependencyError)
    assert error.dependency == "tickets"
    return type(error), error.may_have_happened


@both_clients
async def test_a_refused_connection_sent_nothing(make: MakeClient) -> None:
    async with Server().listening() as base_url:
        pass

    assert fate(await failure_of(make, base_url)) == (DependencyUnavailable, False)


@both_clients
async def test_an_unknown_name_sent_nothing(make: MakeClient) -> None:
    assert fate(await failure_of(make, "http://nowhere.invalid")) == (NetworkFailed, False)


@both_clients
async def test_a_silent_server_may_have_done_it(make: MakeClient) -> None:
    async with Server(stays=True).listening() as base_url:
        assert fate(await failure_of(make, base_url)) == (DependencyTimeout, True)


@both_clients
async def test_a_server_that_hangs_up_may_have_done_it(make: MakeClient) -> None:
    server = Server()
    async with server.listening() as base_url:
        assert fate(await failure_of(make, base_url)) == (NetworkFailed, True)
    assert len(server.requests) == 1


@both_clients
async def test_an_answer_cut_off_may_have_done_it(make: MakeClient) -> None:
    async with Server(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf").listening() as base_url:
        assert fate(await failure_of(make, base_url)) == (NetworkFailed, True)


@both_clients
async def test_an_answer_that_stalls_may_have_done_it(make: MakeClient) -> None:
    server = Server(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf", stays=True)
    async with server.listening() as base_url:
        assert fate(await failure_of(make, base_url)) == (DependencyTimeout, True)


@both_clients
async def test_an_answer_that_is_not_http_may_have_done_it(make: MakeClient) -> None:
    async with Server(b"\x16\x03\x01 what?\r\n\r\n").listening() as base_url:
        error = await failure_of(make, base_url)

    assert isinstance(error, NetworkFailed | ExternalApiFailed)
    assert error.may_have_happened


@both_clients
async def test_an_address_that_is_no_url_is_a_mistake_in_the_settings(make: MakeClient) -> None:
    assert isinstance(await failure_of(make, "ftp://127.0.0.1"), ToolMisconfigured)


async def test_connectors_repeat_nothing_by_themselves() -> None:
    server = Server()
    async with server.listening() as base_url:
        await failure_of(make_client, base_url, method="GET")

    assert len(server.requests) == 1


async def test_a_full_pool_sent_nothing() -> None:
    server = Server(stays=True)
    async with (
        server.listening() as base_url,
        make_client("tickets", base_url=base_url, timeout_seconds=1.0) as client,
    ):
        calls: Sequence[Awaitable[httpx.Response]] = [client.get("/slow") for _ in range(40)]
        results = await asyncio.gather(*calls, return_exceptions=True)

    errors = [translate("tickets", result) for result in results if isinstance(result, Exception)]
    unsent = [error for error in errors if error.reason == "pool_full"]
    assert len(errors) == 40
    assert len(unsent) == 40 - len(server.requests)
    assert {fate(error) for error in unsent} == {(DependencyUnavailable, False)}


@both_clients
async def test_the_environments_proxies_and_redirects_are_not_followed(
    make: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    server = Server(b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n")
    async with (
        server.listening() as base_url,
        make("tickets", base_url=base_url, timeout_seconds=1.0, headers={"X-Own": "yes"}) as client,
    ):
        answer = await client.get("/tickets")

    assert answer.status_code == 302
    assert b"user-agent: careline/" in server.requests[0].lower()
    assert b"x-own: yes" in server.requests[0].lower()
    with pytest.raises(ExternalApiFailed):
        raise_for_answer("tickets", answer)


@both_clients
async def test_a_good_answer_raises_nothing(make: MakeClient) -> None:
    async with (
        Server(OK).listening() as base_url,
        make("tickets", base_url=base_url, timeout_seconds=1.0) as client,
    ):
        answer = await client.get("/tickets")

    raise_for_answer("tickets", answer)
    assert answer.text == "ok"


@pytest.mark.parametrize(
    ("status", "expected", "may_have_happened"),
    [
        (400, DependencyRejectedInput, False),
        (401, DependencyRefusedUs, False),
        (403, DependencyForbidsUs, False),
        (404, NotFound, None),
        (408, DependencyTimeout, False),
        (409, Conflict, None),
        (410, NotFound, None),
        (413, DependencyRejectedInput, False),
        (418, DependencyRejectedInput, False),
        (422, DependencyRejectedInput, False),
        (429, RateLimited, None),
        (500, ExternalApiFailed, True),
        (501, ExternalApiFailed, False),
        (502, ExternalApiFailed, True),
        (503, DependencyUnavailable, False),
        (504, DependencyTimeout, True),
        (599, ExternalApiFailed, True),
    ],
)
def test_each_status_has_its_error(
    status: int, expected: type[CarelineError], may_have_happened: bool | None
) -> None:
    with pytest.raises(expected) as raised:
        raise_for_answer("tickets", httpx.Response(status, headers={"Retry-After": "7"}))

    assert type(raised.value) is expected
    assert getattr(raised.value, "may_have_happened", None) is may_have_happened
    assert raised.value.retry_after == (7.0 if status in (408, 429, 500, 501, 502, 503, 504, 599) else None)
    if isinstance(raised.value, RateLimited):
        assert raised.value.dependency == "tickets"


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("120", 120.0),
        ("1.5", 1.5),
        ("0", 0.0),
        ("-3", 0.0),
        ("Sun, 22 Nov 2026 12:00:30 GMT", 30.0),
        ("Sunday, 22-Nov-26 12:00:30 GMT", 30.0),
        ("Sun, 22 Nov 2026 11:00:00 GMT", 0.0),
        ("1e300", 86_400.0),
        ("inf", 86_400.0),
        ("nan", None),
        ("soon", None),
        ("", None),
        (None, None),
    ],
)
def test_retry_after_is_read_as_seconds_or_a_date(value: str | None, seconds: float | None) -> None:
    assert parse_retry_after(value, now=NOW) == seconds


def test_a_date_is_compared_with_the_senders_own_clock() -> None:
    headers = {"Date": "Mon, 01 Jan 2001 00:00:00 GMT", "Retry-After": "Mon, 01 Jan 2001 00:00:09 GMT"}

    with pytest.raises(RateLimited) as raised:
        raise_for_answer("tickets", httpx.Response(429, headers=headers), now=NOW)

    assert raised.value.retry_after == 9.0
