"""
Talk to any OpenAI-compatible server: OpenAI, Azure, vLLM, Ollama, llama.cpp, gateways.

Streams the answer, guards the way to its first event, and tells silence, broken streams and error answers
apart. The JSON itself is read by `agent.models.wire`.
"""

from collections.abc import AsyncGenerator, Callable, Sequence, Set
from contextlib import suppress
from typing import Literal

import httpx
import msgspec

from agent.models.base import ModelEvent, ModelMessage, ReplyShape, TextDelta, ToolSpec
from agent.models.event_lines import EventLines
from agent.models.structured import told_in_words
from agent.models.wire import AnswerAssembler, Chunk, RequestWriter, read_chunk, read_chunks
from core.clock import Clock
from core.errors import (
    CallerError,
    CarelineError,
    DependencyRejectedInput,
    DependencyTimeout,
    DependencyUnavailable,
    ExternalApiFailed,
    NetworkFailed,
    RateLimited,
)
from core.http import StreamingClient, raise_for_answer, translate
from core.http_stream import StreamedAnswer
from core.resilience.deadline import Deadline
from core.resilience.guard import Guard
from core.telemetry.logging import get_logger

_DEPENDENCY = "model"
_LONGEST_BODY_BYTES = 1_000_000
_HEADERS = {"Accept": "text/event-stream, application/json", "Content-Type": "application/json"}

_Extra = Literal["usage", "schema"]
"""What not all servers know that call themselves compatible."""
_PLAIN: Set[_Extra] = frozenset({"usage"})
_SHAPED: Set[_Extra] = frozenset({"usage", "schema"})

log = get_logger(__name__)


class _Models(msgspec.Struct):
    """The answer of `/models`, as far as anybody needs it."""

    data: list[object]


class OpenAiModel:
    """
    `client` comes from `core.http.make_model_client`, its base URL ending in `/v1` or the like.
    `silence_seconds` is the longest time without an event, `first_token_seconds` until the first one; the guard's attempt must
    not be shorter than that, nor the client's own patience than either.

    Each request asks for the tokens to be counted, and for a schema where there is one: what its server refuses is asked
    of it no more, and a schema told in words.

    The guard covers a request until its first event, which is all that may be repeated. A stream that breaks
    off later is reported to the guard's breaker.
    """

    def __init__(
        self,
        client: StreamingClient,
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
        self._post = client.prepare_post("chat/completions", headers=_HEADERS)
        self._requests = RequestWriter(model)
        self._first_token_seconds = first_token_seconds or silence_seconds
        self._served: set[_Extra] = set()
        self._refused: set[_Extra] = set()

    async def stream(
        self,
        messages: Sequence[ModelMessage],
        tools: Sequence[ToolSpec],
        *,
        deadline: Deadline,
        most_tokens: int | None = None,
        shape: ReplyShape | None = None,
    ) -> AsyncGenerator[ModelEvent, None]:
        def written(asked: Set[_Extra]) -> bytes:
            is_in_words = shape is not None and "schema" not in asked
            return self._requests.write(
                told_in_words(messages, shape) if shape is not None and is_in_words else messages,
                tools,
                most_tokens=most_tokens,
                shape=None if is_in_words else shape,
                counts_tokens="usage" in asked,
            )

        async def open_answer() -> _OpenAnswer:
            return await self._open_as_known(written, _PLAIN if shape is None else _SHAPED)

        opening = Deadline(self._clock, min(self._first_token_seconds, deadline.remaining()))
        answer = await self._guard.run(open_answer, deadline=opening)
        assembler = AnswerAssembler()
        chunks = answer.first
        try:
            while chunks and not assembler.is_too_long:
                text, is_whole = assembler.take_all(chunks)
                if text:
                    yield TextDelta(text)
                if not is_whole:
                    raise ExternalApiFailed(
                        _DEPENDENCY, "model: failed in mid-answer", reason="error_in_stream"
                    )
                chunks = await answer.next(min(self._silence_seconds, deadline.remaining()))
            if not (assembler.has_ended or answer.is_done):
                raise NetworkFailed(_DEPENDENCY, "model: the stream ended without an end", reason="cut_off")
        except CarelineError:
            if not deadline.has_passed:
                self._report_broken_stream()
            raise
        finally:
            answer.close()
        yield assembler.finished(self.name)

    async def probe(self) -> None:
        """
        Whether somebody is there who would serve us; asks no model anything.

        Raises:
            CarelineError: nobody is, or our key is refused. A server without a list of models is there.
        """
        await self.lists_models()

    async def lists_models(self) -> bool:
        """Whether it answers with a list of models, as most servers do under their right address. Raises as `probe`."""
        try:
            response = await self._client.get("models")
            raise_for_answer(_DEPENDENCY, response)
        except CallerError as exc:
            if isinstance(exc, RateLimited):
                raise
            return False
        except Exception as exc:  # every way to fail means the same here
            raise translate(_DEPENDENCY, exc) from exc
        try:
            msgspec.json.decode(response.content, type=_Models)
        except msgspec.DecodeError:
            return False
        return True

    async def _open(self, body: bytes) -> "_OpenAnswer":
        """Send the request and wait for the first event."""
        try:
            response = await self._post.send(body, silence_seconds=self._first_token_seconds)
        except Exception as exc:
            raise translate(_DEPENDENCY, exc) from exc
        answer = _OpenAnswer(response)
        try:
            raise_for_answer(_DEPENDENCY, response, now=self._clock.now())
            await answer.wait_for_first(self._first_token_seconds)
        except BaseException as exc:
            answer.close()
            if isinstance(exc, CallerError) and not isinstance(exc, RateLimited):
                # An unknown model or path: the address is wrong, not the customer's request.
                raise ExternalApiFailed(
                    _DEPENDENCY, str(exc), answered_status=response.status_code, reason=exc.reason
                ) from exc
            raise
        return answer

    async def _open_as_known(
        self, written: Callable[[Set[_Extra]], bytes], wanted: Set[_Extra]
    ) -> "_OpenAnswer":
        """What a server may not know is left out once it refuses a request with it and serves the same one without."""
        asked = wanted - self._refused
        doubted = asked - self._served
        try:
            answer = await self._open(written(asked))
        except DependencyRejectedInput:
            if not doubted:
                raise
            answer = await self._open(written(asked - doubted))
            self._refused |= doubted
            log.info("model.asked_for_less", model=self.name, without=sorted(doubted))
        else:
            self._served |= asked
        return answer

    def _report_broken_stream(self) -> None:
        """An opened stream counted as a success; the failure that it became counts, too."""
        with suppress(DependencyUnavailable):
            self._guard.breaker.acquire().failed()


class _OpenAnswer:
    """
    A response whose head has been read. `is_done` once the server said `[DONE]`, or gave the whole answer at
    once.
    """

    def __init__(self, response: StreamedAnswer) -> None:
        self._response = response
        self._events = EventLines()
        self._is_stream = "text/event-stream" in response.header(b"content-type")
        self._is_encoded = response.header(b"content-encoding") not in ("", "identity")
        self.first: list[Chunk] = []
        self.is_done = False

    async def wait_for_first(self, within_seconds: float) -> None:
        """Raises NetworkFailed when there is none."""
        if self._is_encoded:
            raise ExternalApiFailed(_DEPENDENCY, "model: an encoded answer", reason="unreadable")
        self.first = await self.next(within_seconds)
        if not self.first:
            raise NetworkFailed(_DEPENDENCY, "model: an empty stream", reason="cut_off")

    async def next(self, within_seconds: float) -> list[Chunk]:
        """Those that came together; empty at the end of the stream."""
        if not self._is_stream:
            return [] if self.is_done else [await self._whole_answer(within_seconds)]
        chunks: list[Chunk] = []
        while not (chunks or self.is_done) and (data := await self._read(within_seconds)):
            events = self._events.feed(data)
            done = next((n for n, said in enumerate(events) if said.strip() == b"[DONE]"), None)
            self.is_done = done is not None
            chunks = read_chunks(events[:done])
            if len(chunks) < len(events[:done]):
                log.debug("model.garbage_in_stream", events=len(events[:done]) - len(chunks))
            if self._events.is_too_long:
                raise ExternalApiFailed(_DEPENDENCY, "model: an event without end", reason="too_long")
        return chunks

    def close(self) -> None:
        if self.is_done:
            self._response.let_go()
        else:
            self._response.close()

    async def _read(self, within_seconds: float) -> bytes:
        try:
            return await self._response.read(within_seconds)
        except httpx.ReadTimeout as exc:
            raise DependencyTimeout(
                _DEPENDENCY, f"model: silent for {within_seconds:.3g} s", reason="silence"
            ) from exc
        except Exception as exc:  # whatever the transport raises in mid-stream, in our words
            raise translate(_DEPENDENCY, exc) from exc

    async def _whole_answer(self, within_seconds: float) -> Chunk:
        """Some servers do not stream, or not with tools."""
        body = bytearray()
        while piece := await self._read(within_seconds):
            body += piece
            if len(body) > _LONGEST_BODY_BYTES:
                raise ExternalApiFailed(_DEPENDENCY, "model: the answer is too long", reason="too_long")
        chunk = read_chunk(bytes(body))
        if chunk is None or not (chunk.choices or chunk.error):
            raise ExternalApiFailed(_DEPENDENCY, "model: no answer in the answer", reason="unreadable")
        self.is_done = True
        return chunk
