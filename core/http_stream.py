"""
Speak HTTP/1.1 to servers that stream their answers: connections are kept, bytes are handed on as they come, joined.

For calls that may be repeated, of which hundreds run at once; who calls limits how many. Speaks httpx's language at its edge,
exceptions included, so `core.http` needs no second table of failures. Why not httpx's own transport or aiohttp's:
`docs/decisions/0012`.
"""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterable
from typing import cast

import aiohappyeyeballs
import httpx
from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from core.http_limits import AnswerTooLarge

_KEPT_SECONDS = 20.0
_MOST_KEPT = 200
_SECOND_ADDRESS_SECONDS = 0.25
_LONGEST_HEAD_BYTES = 64 * 1024
_MOST_WAITING_BYTES = 256 * 1024
"""What has come and was not read yet; beyond it the server has to wait."""
_LET_GO_SECONDS = 1.0
_FOR_EVER = 86_400.0

Origin = tuple[str, str, int]
"""Scheme, host and port."""


class StreamedAnswer:
    """
    An answer whose head has come; the rest is read as it comes. `close` or `let_go` it in the end.

    The parser of its connection calls the methods `on_…`.
    """

    def __init__(self, connection: "_Connection", answer_bytes: int) -> None:
        self.status_code = 0
        self._left_bytes = answer_bytes
        self._connection = connection
        self._parser: HttpResponseParser | None = HttpResponseParser(self)
        self._raw_headers: list[tuple[bytes, bytes]] = []
        self._head_bytes = 0
        self._pieces: list[bytes] = []
        self._waiting_bytes = 0
        self._is_complete = False
        self._is_kept_alive = False
        self._is_let_go = False
        self._failure: Exception | None = None
        self._waiter: asyncio.Future[None] | None = None

    @property
    def headers(self) -> httpx.Headers:
        return httpx.Headers(self._raw_headers)

    def header(self, name: bytes) -> str:
        """Of one that comes once; `name` in small letters. Empty where there is none."""
        return next((value for key, value in self._raw_headers if key.lower() == name), b"").decode("latin-1")

    async def head(self, within_seconds: float) -> None:
        """
        Raises:
            httpx.TransportError: there is none.
        """
        while not self.status_code:
            if self._failure is not None:
                raise self._failure
            await self._news(within_seconds)

    async def read(self, within_seconds: float) -> bytes:
        """
        All that has come since it was read last, or the next that comes; empty at the end.

        Raises:
            httpx.ReadTimeout: nothing came for `within_seconds`.
            httpx.TransportError: the answer broke off.
            AnswerTooLarge: it is larger than it may be.
        """
        while not self._pieces:
            if self._failure is not None:
                raise self._failure
            if self._is_complete:
                return b""
            await self._news(within_seconds)
        data = b"".join(self._pieces)
        self._pieces.clear()
        self._waiting_bytes = 0
        self._connection.resume()
        return data

    def close(self) -> None:
        """Nobody wants the rest."""
        if self._parser is not None:
            self._fail(httpx.ReadError("the answer was given up"))

    def let_go(self) -> None:
        """All that matters was read: the connection is kept where the end comes soon, as it does after a last event."""
        if self._parser is not None:
            self._is_let_go = True
            self._pieces.clear()
            self._connection.resume()
            asyncio.get_running_loop().call_later(_LET_GO_SECONDS, self.close)

    def feed(self, data: bytes) -> None:
        if self._parser is None:  # it failed, and its connection is closing
            return
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade) as exc:
            self._fail(httpx.RemoteProtocolError(f"no HTTP answer: {type(exc).__name__}"))
            return
        self._left_bytes -= len(data)
        if self._left_bytes < 0:
            self._pieces.clear()
            self._fail(AnswerTooLarge("the answer is too large"))
            return
        if self._is_complete:
            self._end(may_be_kept=self._is_kept_alive)
        elif not self.status_code:
            self._head_bytes += len(data)
            if self._head_bytes > _LONGEST_HEAD_BYTES:
                self._fail(httpx.RemoteProtocolError("the head of the answer is too long"))
        elif self._waiting_bytes > _MOST_WAITING_BYTES:
            self._connection.pause()
        self._wake()

    def lost(self, exc: Exception | None) -> None:
        """The connection is gone: the end of an answer that names no length, else a failure."""
        if self._parser is None:
            return
        if self.status_code and exc is None and not self._names_its_end:
            self._is_complete = True
            self._end(may_be_kept=False)
            self._wake()
        else:
            self._fail(httpx.RemoteProtocolError("the server hung up"))

    def on_message_begin(self) -> None:
        if self._is_complete:
            raise ValueError("a second answer to one request")

    def on_header(self, name: bytes, value: bytes) -> None:
        self._raw_headers.append((name, value))

    def on_headers_complete(self) -> None:
        assert self._parser is not None  # noqa: S101 -- narrows the type: it is the caller
        status = self._parser.get_status_code()
        if status < 200:
            self._raw_headers.clear()  # "continue" and the like announce the answer
        else:
            self.status_code = status
            # Asked now, as the parser forgets it with the end of the answer.
            self._is_kept_alive = self._parser.should_keep_alive()

    def on_body(self, body: bytes) -> None:
        if not self._is_let_go:
            self._pieces.append(body)
            self._waiting_bytes += len(body)

    def on_message_complete(self) -> None:
        self._is_complete = self.status_code > 0

    @property
    def _names_its_end(self) -> bool:
        return any(name.lower() in (b"content-length", b"transfer-encoding") for name, _ in self._raw_headers)

    async def _news(self, within_seconds: float) -> None:
        loop = asyncio.get_running_loop()
        self._waiter = waiter = loop.create_future()
        timer = loop.call_later(within_seconds, _time_out, waiter, within_seconds)
        try:
            await waiter
        finally:
            timer.cancel()
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _fail(self, failure: Exception) -> None:
        self._failure = failure
        self._end(may_be_kept=False)
        self._wake()

    def _end(self, *, may_be_kept: bool) -> None:
        self._parser = None  # which holds this answer: no work for the garbage collector
        self._connection.end(may_be_kept=may_be_kept)


class StreamTransport(httpx.AsyncBaseTransport):
    """
    Belongs to one event loop. Repeats nothing, follows nothing, and reads nothing from the environment. An answer of more than
    `answer_bytes`, its head and the lengths between its pieces included, is given up.
    """

    def __init__(self, *, answer_bytes: int) -> None:
        self._answer_bytes = answer_bytes
        self._ssl = httpx.create_ssl_context(trust_env=False)
        self._ssl.set_alpn_protocols(["http/1.1"])
        self._kept: dict[Origin, list[_Connection]] = {}
        self._open: set[_Connection] = set()

    async def send(
        self, origin: Origin, head: bytes, body: bytes, *, connect_seconds: float, read_seconds: float
    ) -> StreamedAnswer:
        """
        The answer, once its head is there.

        Raises:
            httpx.ConnectError, httpx.ConnectTimeout: nothing was sent.
            httpx.TransportError: it was sent, at least in part, and no answer came.
        """
        connection = self._take_kept(origin) or await self._connect(origin, connect_seconds)
        answer = connection.ask(head, body, self._answer_bytes)
        try:
            await answer.head(read_seconds)
        except BaseException:
            answer.close()
            raise
        return answer

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        body = await request.aread()
        timeout = request.extensions.get("timeout", {})
        read_seconds = timeout.get("read") or _FOR_EVER
        answer = await self.send(
            origin_of(request.url),
            end_head(head_of(request), body),
            body,
            connect_seconds=timeout.get("connect") or _FOR_EVER,
            read_seconds=read_seconds,
        )
        if answer.header(b"content-encoding") not in ("", "identity"):
            answer.close()
            raise httpx.DecodingError("an encoded answer, which may be of any size")
        return httpx.Response(
            answer.status_code,
            headers=answer.headers,
            stream=_Body(answer, read_seconds),
            request=request,
        )

    async def aclose(self) -> None:
        gone = [connection.abort() for connection in self._open]
        await asyncio.gather(*gone)

    def _take_kept(self, origin: Origin) -> "_Connection | None":
        kept = self._kept.get(origin, [])
        while kept:
            connection = kept.pop()
            if connection.wake_up():
                return connection
        return None

    async def _connect(self, origin: Origin, within_seconds: float) -> "_Connection":
        scheme, host, port = origin
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(within_seconds):
                found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
                sock = await aiohappyeyeballs.start_connection(
                    found, happy_eyeballs_delay=_SECOND_ADDRESS_SECONDS
                )
                try:
                    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    is_safe = scheme == "https"
                    _, connection = await loop.create_connection(
                        lambda: _Connection(self._kept.setdefault(origin, []), self._open),
                        sock=sock,
                        ssl=self._ssl if is_safe else None,
                        server_hostname=host if is_safe else None,
                    )
                except BaseException:
                    sock.close()
                    raise
        except TimeoutError as exc:
            raise httpx.ConnectTimeout(f"no connection within {within_seconds:.3g} s") from exc
        except (OSError, UnicodeError) as exc:
            raise httpx.ConnectError(str(exc)) from exc
        return connection


class _Connection(asyncio.Protocol):
    """Carries one request at a time. `kept` are those of its server that wait for one, `all_open` those that exist."""

    def __init__(self, kept: "list[_Connection]", all_open: "set[_Connection]") -> None:
        self._kept = kept
        self._all_open = all_open
        self._transport: asyncio.Transport | None = None
        self._answer: StreamedAnswer | None = None
        self._is_paused = False
        self._expiry: asyncio.TimerHandle | None = None
        self._gone = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are none of asyncio's classes.
        self._transport = cast("asyncio.Transport", transport)
        self._all_open.add(self)

    def data_received(self, data: bytes) -> None:
        if self._answer is not None:
            self._answer.feed(data)
        else:
            self._close()  # nobody asked

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._all_open.discard(self)
        if self in self._kept:
            self._kept.remove(self)
        if self._expiry is not None:
            self._expiry.cancel()
        if self._answer is not None:
            self._answer.lost(exc)
        self._gone.set_result(None)

    def ask(self, head: bytes, body: bytes, answer_bytes: int) -> StreamedAnswer:
        self._answer = answer = StreamedAnswer(self, answer_bytes)
        if self._transport is None:
            answer.lost(None)
        else:
            self._transport.writelines((head, body))
        return answer

    def end(self, *, may_be_kept: bool) -> None:
        """Of the answer that it carries."""
        self._answer = None
        self.resume()
        if may_be_kept and self._transport is not None and len(self._kept) < _MOST_KEPT:
            self._expiry = asyncio.get_running_loop().call_later(_KEPT_SECONDS, self._close)
            self._kept.append(self)
        else:
            self._close()

    def wake_up(self) -> bool:
        """Whether it still stands."""
        if self._expiry is not None:
            self._expiry.cancel()
        return self._transport is not None and not self._transport.is_closing()

    def pause(self) -> None:
        if not self._is_paused and self._transport is not None:
            self._is_paused = True
            self._transport.pause_reading()

    def resume(self) -> None:
        if self._is_paused and self._transport is not None:
            self._is_paused = False
            self._transport.resume_reading()

    def abort(self) -> "asyncio.Future[None]":
        """Done when it is gone."""
        self._close()
        return self._gone

    def _close(self) -> None:
        if self._transport is not None:
            self._transport.abort()


class _Body(httpx.AsyncByteStream):
    def __init__(self, answer: StreamedAnswer, read_seconds: float) -> None:
        self._answer = answer
        self._read_seconds = read_seconds

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while data := await self._answer.read(self._read_seconds):
            yield data

    async def aclose(self) -> None:
        self._answer.close()


def origin_of(url: httpx.URL) -> Origin:
    if url.scheme not in ("http", "https") or not url.host:
        raise httpx.UnsupportedProtocol("the address is no http(s) URL")
    return url.scheme, url.raw_host.decode("ascii"), url.port or (443 if url.scheme == "https" else 80)


def head_of(request: httpx.Request) -> bytes:
    """All lines but the length of the body, which `end_head` adds."""
    lines = [b"%s %s HTTP/1.1" % (request.method.encode("ascii"), request.url.raw_path)]
    lines += _header_lines(request.headers.raw)
    return b"\r\n".join(lines)


def end_head(head: bytes, body: bytes) -> bytes:
    return b"%s\r\nContent-Length: %d\r\n\r\n" % (head, len(body))


def _header_lines(headers: Iterable[tuple[bytes, bytes]]) -> Iterable[bytes]:
    for name, value in headers:
        if name.lower() in (b"content-length", b"transfer-encoding"):
            continue
        line = b"%s: %s" % (name, value)
        if any(mark in line for mark in (b"\r", b"\n", b"\x00")):
            raise httpx.LocalProtocolError("a header holds a line break")
        yield line


def _time_out(waiter: "asyncio.Future[None]", seconds: float) -> None:
    if not waiter.done():
        waiter.set_exception(httpx.ReadTimeout(f"silent for {seconds:.3g} s"))
