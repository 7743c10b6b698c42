"""The leaner transport on real sockets: what becomes of its connections, and of answers in odd shapes."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import httpx
import pytest

from core.errors import ErrorType
from core.http import MODEL_ANSWER_BYTES, PreparedPost, make_model_client, translate
from core.http_limits import AnswerTooLarge

Play = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
SECONDS = 2.0
MOST = 64 * 1024


class Server:
    """Plays for each request on each connection; counts both."""

    def __init__(self, play: Play) -> None:
        self._play = play
        self.connections = 0
        self.bodies: list[bytes] = []
        self.writers: list[asyncio.StreamWriter] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.writers.append(writer)
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
                self.bodies.append(await reader.readexactly(length))
                await self._play(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def asking(
    play: Play, *, answer_bytes: int = MODEL_ANSWER_BYTES
) -> AsyncIterator[tuple[Server, PreparedPost]]:
    server = Server(play)
    listener = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}/v1"
    async with make_model_client(
        "model", base_url=url, timeout_seconds=SECONDS, answer_bytes=answer_bytes
    ) as client:
        yield server, client.prepare_post("chat", headers={})
    for writer in server.writers:
        writer.close()
    listener.close()
    await listener.wait_closed()


def sends(*pieces: bytes, pause: float = 0.0) -> Play:
    async def play(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(pause)

    return play


@pytest.mark.parametrize("goes_on", [True, False], ids=["without end", "by one byte"])
async def test_an_answer_that_is_too_large_is_given_up_and_its_connection_closed(goes_on: bool) -> None:
    async def play(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD)
        while goes_on:
            writer.write(b"1000\r\n" + b"x" * 4096 + b"\r\n")
            await writer.drain()
        writer.write(b"%x\r\n" % MOST + b"x" * MOST + b"\r\n0\r\n\r\n")

    async with asking(play, answer_bytes=MOST) as (server, post):
        with pytest.raises(AnswerTooLarge) as refused:
            await whole(post)
        with suppress(ConnectionError):
            await asyncio.wait_for(server.writers[0].wait_closed(), SECONDS)

    error = translate("model", refused.value)
    assert (error.error_type, error.reason) == (ErrorType.EXTERNAL_API_ERROR, "answer_too_large")


async def test_an_answer_of_just_the_largest_size_is_read_and_the_next_counts_anew() -> None:
    large = b"HTTP/1.1 200 OK\r\nContent-Length: 9000\r\n\r\n" + b"x" * 9000
    async with asking(sends(large), answer_bytes=len(large)) as (server, post):
        read = [await whole(post) for _ in range(3)]

    assert [len(each) for each in read] == [9000] * 3
    assert server.connections == 1


async def test_an_encoded_answer_is_not_unpacked() -> None:
    packed = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\nok"
    listener = await asyncio.start_server(Server(sends(packed)).serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    async with listener, make_model_client("model", base_url=url, timeout_seconds=SECONDS) as client:
        with pytest.raises(httpx.DecodingError, match="encoded"):
            await client.post("/models", content=b"{}")


async def whole(post: PreparedPost, body: bytes = b"{}") -> bytes:
    answer = await post.send(body, silence_seconds=SECONDS)
    read = b""
    try:
        while piece := await answer.read(SECONDS):
            read += piece
    finally:
        answer.close()
    return read


async def test_one_connection_carries_one_request_after_the_other() -> None:
    async with asking(sends(OK)) as (server, post):
        answers = [await whole(post, body) for body in (b"1", b"22", b"333")]

    assert answers == [b"ok"] * 3
    assert server.bodies == [b"1", b"22", b"333"]
    assert server.connections == 1


async def test_requests_at_once_do_not_wait_for_each_other() -> None:
    async with asking(sends(HEAD, b"2\r\nok\r\n", b"0\r\n\r\n", pause=0.02)) as (server, post):
        answers = await asyncio.gather(*(whole(post) for _ in range(20)))

    assert answers == [b"ok"] * 20
    assert server.connections == 20


async def test_a_kept_connection_that_the_server_closed_is_not_used() -> None:
    async with asking(sends(OK)) as (server, post):
        await whole(post)
        server.writers[0].close()
        await asyncio.sleep(0.05)

        assert await whole(post) == b"ok"

    assert server.connections == 2


async def test_after_the_last_event_the_connection_is_kept_for_the_end_that_comes() -> None:
    async with asking(sends(HEAD, b"4\r\nlast\r\n", b"0\r\n\r\n", pause=0.05)) as (server, post):
        answer = await post.send(b"{}", silence_seconds=SECONDS)
        assert await answer.read(SECONDS) == b"last"
        answer.let_go()
        await asyncio.sleep(0.2)

        assert await whole(post) == b"last"

    assert server.connections == 1


async def test_an_answer_that_is_given_up_takes_its_connection_along() -> None:
    async with asking(sends(HEAD, b"4\r\nmore\r\n")) as (server, post):
        for _ in range(2):
            answer = await post.send(b"{}", silence_seconds=SECONDS)
            answer.close()

    assert server.connections == 2


async def test_a_server_that_closes_after_its_answer_is_asked_over_a_new_connection() -> None:
    closing = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"
    async with asking(sends(closing)) as (server, post):
        assert [await whole(post), await whole(post)] == [b"ok", b"ok"]

    assert server.connections == 2


async def test_a_long_answer_comes_whole_to_a_slow_reader() -> None:
    piece = b"x" * 65_536
    async with asking(sends(HEAD, *[b"10000\r\n%s\r\n" % piece] * 64, b"0\r\n\r\n")) as (_, post):
        answer = await post.send(b"{}", silence_seconds=SECONDS)
        await asyncio.sleep(0.2)
        first = await answer.read(SECONDS)
        rest = b""
        while more := await answer.read(SECONDS):
            rest += more

    assert len(first) < 16 * len(piece)
    assert len(first) + len(rest) == 64 * len(piece)


async def test_an_announcement_is_no_answer() -> None:
    async with asking(sends(b"HTTP/1.1 100 Continue\r\n\r\n" + OK)) as (_, post):
        answer = await post.send(b"{}", silence_seconds=SECONDS)

        assert answer.status_code == 200
        assert await answer.read(SECONDS) == b"ok"


@pytest.mark.parametrize("odd", [OK + OK, OK + b"junk", b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000])
async def test_more_than_an_answer_is_a_failure_or_cut_and_never_the_next_ones_answer(odd: bytes) -> None:
    async with asking(sends(odd)) as (server, post):
        for _ in range(2):
            with suppress(httpx.RemoteProtocolError):
                assert await whole(post) == b"ok"

    assert server.connections == 2


async def test_an_answer_that_breaks_off_gives_what_came_and_then_fails() -> None:
    async def breaks_off(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD + b"4\r\nhalf\r\n")
        await writer.drain()
        writer.close()

    async with asking(breaks_off) as (_, post):
        answer = await post.send(b"{}", silence_seconds=SECONDS)
        assert await answer.read(SECONDS) == b"half"
        with pytest.raises(httpx.RemoteProtocolError):
            await answer.read(SECONDS)


async def test_silence_ends_the_wait_and_not_the_answer() -> None:
    async with asking(sends(HEAD, b"2\r\nok\r\n", pause=0.2)) as (_, post):
        answer = await post.send(b"{}", silence_seconds=SECONDS)
        with pytest.raises(httpx.ReadTimeout):
            await answer.read(0.05)

        assert await answer.read(SECONDS) == b"ok"
        answer.close()


async def test_a_header_cannot_smuggle_another_request() -> None:
    async with make_model_client("model", base_url="http://127.0.0.1:1", timeout_seconds=1.0) as client:
        with pytest.raises(httpx.LocalProtocolError):
            client.prepare_post("chat", headers={"Authorization": "Bearer a\r\nX-Own: yes"})
