"""
Bound what an HTTP answer may cost: the time until its last byte, and its size after decompression.

A server that sends one byte a second keeps within every timeout of a single read, and a megabyte of gzip can hold a gigabyte.
"""

import asyncio
import zlib
from collections.abc import AsyncIterator

import httpx

ENCODINGS = "gzip"
"""What is asked for: zlib can be told where to stop, and every server knows it."""
_EITHER_FORM = 47  # zlib's window bits for "gzip or zlib, whichever it is"
_PIECE_BYTES = 65_536


class AnswerTooLarge(httpx.DecodingError):
    """Of the answer nothing is kept."""


class LimitedTransport(httpx.AsyncBaseTransport):
    """
    `total_seconds` is from the first try to connect until the answer has been read, `answer_bytes` of the decoded body.

    Raises, besides what `inner` raises:
        httpx.ReadTimeout: the answer did not end in time.
        AnswerTooLarge, httpx.DecodingError: also while the body is read.
    """

    def __init__(self, inner: httpx.AsyncBaseTransport, *, total_seconds: float, answer_bytes: int) -> None:
        self._inner = inner
        self._total_seconds = total_seconds
        self._answer_bytes = answer_bytes

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        ends_at = asyncio.get_running_loop().time() + self._total_seconds
        try:
            async with asyncio.timeout_at(ends_at):
                response = await self._inner.handle_async_request(request)
        except TimeoutError as late:
            raise httpx.ReadTimeout("no answer in time", request=request) from late
        assert isinstance(response.stream, httpx.AsyncByteStream)  # noqa: S101 - httpx's async transports give no other
        body = _LimitedBody(
            response.stream,
            encoding=response.headers.get("content-encoding", "identity").strip().lower(),
            ends_at=ends_at,
            most_bytes=self._answer_bytes,
        )
        headers = [
            (name, value)
            for name, value in response.headers.raw
            if name.lower() not in {b"content-encoding", b"content-length"}
        ]
        return httpx.Response(
            response.status_code, headers=headers, stream=body, extensions=response.extensions
        )

    async def aclose(self) -> None:
        await self._inner.aclose()


class _LimitedBody(httpx.AsyncByteStream):
    def __init__(
        self, inner: httpx.AsyncByteStream, *, encoding: str, ends_at: float, most_bytes: int
    ) -> None:
        self._inner = inner
        self._encoding = encoding
        self._ends_at = ends_at
        self._most_bytes = most_bytes

    async def __aiter__(self) -> AsyncIterator[bytes]:
        left = self._most_bytes
        async for piece in self._decoded():
            left -= len(piece)
            if left < 0:
                raise AnswerTooLarge(f"more than {self._most_bytes} bytes")
            yield piece

    async def aclose(self) -> None:
        await self._inner.aclose()

    async def _decoded(self) -> AsyncIterator[bytes]:
        if self._encoding in {"identity", ""}:
            async for piece in self._in_time():
                yield piece
            return
        if self._encoding not in {"gzip", "x-gzip", "deflate"}:
            raise httpx.DecodingError("a content encoding that was not asked for")
        decoder = zlib.decompressobj(_EITHER_FORM)
        is_empty = True  # as an answer to HEAD is
        try:
            async for piece in self._in_time():
                is_empty = False
                rest = piece
                while rest and not decoder.eof:
                    yield decoder.decompress(rest, _PIECE_BYTES)
                    rest = decoder.unconsumed_tail
            yield decoder.flush()
        except zlib.error as exc:
            raise httpx.DecodingError("what claims to be compressed is not") from exc
        if not (decoder.eof or is_empty):
            raise httpx.DecodingError("the compressed answer is cut off")

    async def _in_time(self) -> AsyncIterator[bytes]:
        pieces = aiter(self._inner)
        while True:
            try:
                async with asyncio.timeout_at(self._ends_at):
                    piece = await anext(pieces)
            except StopAsyncIteration:
                return
            except TimeoutError as late:
                raise httpx.ReadTimeout("the answer did not end in time") from late
            yield piece
