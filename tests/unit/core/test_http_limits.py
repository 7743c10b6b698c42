"""What a connector's client reads is bounded in time and size, whatever the server does."""

import gzip
import time
import tracemalloc
import zlib
from typing import Any

import pytest

from core.errors import CarelineError, DependencyTimeout, ExternalApiFailed
from core.http import make_client, translate
from tests.http_faults import Answer, FaultyServer

BODY = b'{"name": "Anna"}' * 100


async def read(answer: Answer, **limits: Any) -> bytes | CarelineError:
    async with FaultyServer(lambda _: answer).listening() as server:
        values: dict[str, Any] = {"timeout_seconds": 5.0, "answer_bytes": 5_000}
        async with make_client("crm", base_url=server.url, **(values | limits)) as client:
            try:
                return (await client.get("/")).content
            except Exception as exc:
                return translate("crm", exc)


def encoded(body: bytes, encoding: str) -> Answer:
    return Answer(body=body, headers={"Content-Encoding": encoding})


@pytest.mark.parametrize(
    "answer",
    [
        Answer(body=BODY),
        encoded(BODY, "identity"),
        encoded(gzip.compress(BODY), "gzip"),
        encoded(gzip.compress(BODY), "GZIP"),
        encoded(zlib.compress(BODY), "deflate"),
    ],
)
async def test_an_answer_within_the_limits_arrives_as_it_was_written(answer: Answer) -> None:
    assert await read(answer) == BODY


async def test_an_empty_answer_that_calls_itself_compressed_is_empty() -> None:
    assert await read(encoded(b"", "gzip")) == b""


@pytest.mark.parametrize(
    "answer",
    [
        Answer(body=b"x" * 5_001),
        encoded(gzip.compress(b"x" * 5_001), "gzip"),
    ],
)
async def test_what_is_larger_after_decompression_is_given_up(answer: Answer) -> None:
    error = await read(answer)

    assert isinstance(error, ExternalApiFailed)
    assert (error.reason, error.may_have_happened) == ("answer_too_large", True)


async def test_a_bomb_is_not_unpacked_first() -> None:
    bomb = encoded(gzip.compress(b"x" * 40_000_000), "gzip")
    tracemalloc.start()
    try:
        error = await read(bomb)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert isinstance(error, ExternalApiFailed)
    assert peak_bytes < 15_000_000


async def test_exactly_as_large_as_allowed_is_allowed() -> None:
    assert await read(Answer(body=b"x" * 5_000)) == b"x" * 5_000


@pytest.mark.parametrize(
    "answer",
    [
        encoded(BODY, "gzip"),
        encoded(gzip.compress(BODY)[:-9], "gzip"),
        encoded(BODY, "br"),
        encoded(BODY, "gzip, gzip"),
    ],
)
async def test_what_is_not_compressed_as_it_says_is_an_unreadable_answer(answer: Answer) -> None:
    error = await read(answer)

    assert isinstance(error, ExternalApiFailed)
    assert error.reason is None


@pytest.mark.alone
async def test_an_answer_that_drips_in_is_given_up_when_its_time_is_over() -> None:
    started = time.monotonic()

    error = await read(Answer(body=b"x" * 100, drip_seconds=0.05), timeout_seconds=0.2, connect_seconds=0.1)

    assert isinstance(error, DependencyTimeout)
    assert error.may_have_happened
    assert time.monotonic() - started < 1.5


async def test_a_server_is_asked_for_nothing_that_could_not_be_bounded() -> None:
    async with (
        FaultyServer(lambda _: Answer()).listening() as server,
        make_client("crm", base_url=server.url, timeout_seconds=5.0) as client,
    ):
        await client.get("/")

    assert server.asked[0].headers["accept-encoding"] == "gzip"
