"""
Talk to any OpenAI-compatible server: OpenAI, Azure, vLLM, Ollama, llama.cpp, gateways.

Streams the answer, guards the way to its first event, and tells silence, broken streams and error answers
apart. The JSON itself is read by `agent.models.wire`.
"""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, suppress

import httpx
import msgspec
from httpx_sse import EventSource

from agent.models.base import ModelEvent, ModelMessage, TextDelta, ToolSpec
from agent.models.wire import AnswerAssembler, Chunk, read_chunk, request_body
from core.clock import Clock
from core.errors import (
    CallerError,
    CarelineError,
    DependencyTimeout,
    DependencyUnavailable,
    ExternalApiFailed,
    NetworkFailed,
    RateLimited,
)
from core.http import raise_for_answer, translate
from core.resilience.deadline import Deadline
from core.resilience.guard import Guard
from core.telemetry.logging import get_logger

_DEPENDENCY = "model"
_LONGEST_BODY_BYTES = 1_000_000
_HEADERS = {"Accept": "text/event-stream, application/json", "Content-Type": "application/json"}

log = get_logger(__name__)


class OpenAiModel:
    """
    `client` comes from `core.http.make_model_client`, its base URL ending in `/v1` or the like.
    `silence_seconds` is the longest time without an event, `first_token_seconds` until the first one; the guard's attempt must
    not be shorter than that, nor the client's own patience than either.

    The guard covers a request until its first event, which is all that may be repeated. A stream that breaks
    off later is reported to the guard's breaker.
    """

    def __init__(
        self,
        client: httpx.AsyncClient,
        *,
        model: str,
        guard: Guard,
        clock: Clock,
        silence_seconds: float,
        first_token_seconds: float | None = None,
    ) -> None:
        self.name = model
        self._client = client
        self._guard = guard
        self._clock = clock
        self._silence_seconds = silence_seconds
        self._first_token_seconds = first_token_seconds or silence_seconds

    async def stream(
        self, messages: Sequence[ModelMessage], tools: Sequence[ToolSpec], *, deadline: Deadline
    ) -> AsyncGenerator[ModelEvent, None]:
        body = msgspec.json.encode(request_body(self.name, messages, tools))

        async def open_answer() -> _OpenAnswer:
            return await self._open(body)

        opening = Deadline(self._clock, min(self._first_token_seconds, deadline.remaining()))
        answer = await self._guard.run(open_answer, deadline=opening)
        try:
            async with aclosing(self._read(answer, deadline)) as events:
                async for event in events:
                    yield event
        finally:
            await answer.close()

    async def probe(self) -> None:
        """
        Whether somebody is there who would serve us; asks no model anything.

        Raises:
            CarelineError: nobody is, or our key is refused. A server without a list of models is there.
        """
        try:
            response = await self._client.get("models")
            raise_for_answer(_DEPENDENCY, response)
        except CallerError as exc:
            if isinstance(exc, RateLimited):
                raise
        except Exception as exc:  # every way to fail means the same here
            raise translate(_DEPENDENCY, exc) from exc

    async def _open(self, body: bytes) -> "_OpenAnswer":
        """Send the request and wait for the first event."""
        try:
            request = self._client.build_request(
                "POST",
                "chat/completions",
                content=body,
                headers=_HEADERS,
            )
            response = await self._client.send(request, stream=True)
        except Exception as exc:  # httpx-aiohttp lets foreign exceptions through
            raise translate(_DEPENDENCY, exc) from exc
        answer = _OpenAnswer(response)
        try:
            raise_for_answer(_DEPENDENCY, response, now=self._clock.now())
            await answer.wait_for_first()
        except BaseException as exc:
            await answer.close()
            if isinstance(exc, CallerError) and not isinstance(exc, RateLimited):
                # An unknown model or path: the address is wrong, not the customer's request.
                raise ExternalApiFailed(
                    _DEPENDENCY, str(exc), answered_status=response.status_code, reason=exc.reason
                ) from exc
            raise
        return answer

    async def _read(self, answer: "_OpenAnswer", deadline: Deadline) -> AsyncGenerator[ModelEvent, None]:
        assembler = AnswerAssembler()
        chunk = answer.first
        try:
            while chunk is not None and not assembler.is_too_long:
                if chunk.error is not None:
                    raise ExternalApiFailed(
                        _DEPENDENCY, "model: failed in mid-answer", reason="error_in_stream"
                    )
                text = assembler.take(chunk)
                if text:
                    yield TextDelta(text)
                chunk = await self._next(answer, deadline)
            if not (assembler.has_ended or answer.is_done):
                raise NetworkFailed(_DEPENDENCY, "model: the stream ended without an end", reason="cut_off")
        except CarelineError:
            if not deadline.has_passed:
                self._report_broken_stream()
            raise
        yield assembler.finished(self.name)

    async def _next(self, answer: "_OpenAnswer", deadline: Deadline) -> Chunk | None:
        seconds = min(self._silence_seconds, deadline.remaining())
        try:
            async with asyncio.timeout(seconds):
                return await answer.next()
        except TimeoutError as exc:
            raise DependencyTimeout(
                _DEPENDENCY, f"model: silent for {seconds:.3g} s", reason="silence"
            ) from exc

    def _report_broken_stream(self) -> None:
        """An opened stream counted as a success; the failure that it became counts, too."""
        with suppress(DependencyUnavailable):
            self._guard.breaker.acquire().failed()


class _OpenAnswer:
    """
    A response whose head has been read. `is_done` once the server said `[DONE]`, or gave the whole answer at
    once.
    """

    def __init__(self, response: httpx.Response) -> None:
        self._response = response
        self._chunks = self._read_chunks()
        self.first: Chunk | None = None
        self.is_done = False

    async def wait_for_first(self) -> None:
        """Raises NetworkFailed when there is none."""
        self.first = await self.next()
        if self.first is None:
            raise NetworkFailed(_DEPENDENCY, "model: an empty stream", reason="cut_off")

    async def next(self) -> Chunk | None:
        """None at the end of the stream."""
        try:
            return await anext(self._chunks, None)
        except Exception as exc:  # whatever the transport raises in mid-stream, in our words
            raise translate(_DEPENDENCY, exc) from exc

    async def close(self) -> None:
        await self._chunks.aclose()
        # A connection that broke may break again while it is put away; the answer is told already.
        with suppress(Exception):
            await self._response.aclose()

    async def _read_chunks(self) -> AsyncGenerator[Chunk, None]:
        if "text/event-stream" not in self._response.headers.get("content-type", ""):
            yield await self._whole_answer()
            return
        async with aclosing(EventSource(self._response).aiter_sse()) as events:
            async for event in events:
                if event.data.strip() == "[DONE]":
                    self.is_done = True
                    return
                chunk = read_chunk(event.data)
                if chunk is None:
                    log.debug("model.garbage_in_stream", characters=len(event.data))
                    continue
                yield chunk

    async def _whole_answer(self) -> Chunk:
        """Some servers do not stream, or not with tools."""
        body = bytearray()
        async for piece in self._response.aiter_bytes():
            body += piece
            if len(body) > _LONGEST_BODY_BYTES:
                raise ExternalApiFailed(_DEPENDENCY, "model: the answer is too long", reason="too_long")
        chunk = read_chunk(bytes(body))
        if chunk is None or not (chunk.choices or chunk.error):
            raise ExternalApiFailed(_DEPENDENCY, "model: no answer in the answer", reason="unreadable")
        self.is_done = True
        return chunk
