"""
A running turn as the chunks of OpenAI's streaming chat completions.

Such a stream cannot take back what it said: where an answer begins anew, the new one follows after a blank line.
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import orjson

from agent.api.eventlog import EventLog
from agent.api.openai_errors import error_document
from agent.api.openai_wire import written_usage
from agent.api.problems import problem_of
from agent.api.stream import HEARTBEAT, HEARTBEAT_SECONDS
from agent.turn.inputs import Delta, Drain, Finished, Reset, Submission, TurnEvent, Turns
from core.errors import CarelineError, DependencyUnavailable
from core.messages import TurnResult

_DONE = b"data: [DONE]\n\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Heading:
    """What every chunk of an answer begins with, and a whole answer too."""

    completion_id: str
    created: int
    model: str
    conversation_id: str
    turn_id: str

    def fields(self, kind: str) -> dict[str, Any]:
        return {
            "id": self.completion_id,
            "object": kind,
            "created": self.created,
            "model": self.model,
            "metadata": {"conversation_id": self.conversation_id, "turn_id": self.turn_id},
        }


class CompletionStream:
    """`tells_usage`: every chunk has the field, and one without a choice after the answer says what it took, if that is known."""

    def __init__(
        self,
        turns: Turns,
        submission: Submission,
        heading: Heading,
        *,
        tenant: str,
        log: EventLog,
        tells_usage: bool = False,
        heartbeat_seconds: float = HEARTBEAT_SECONDS,
    ) -> None:
        self._turns = turns
        self._submission = submission
        self._heading = heading
        self._tenant = tenant
        self._log = log
        self._tells_usage = tells_usage
        self._heartbeat_seconds = heartbeat_seconds
        self._events: asyncio.Queue[TurnEvent] = asyncio.Queue()
        self._shown = ""
        self._begins_anew = False

    async def chunks(self) -> AsyncIterator[bytes]:
        yield self._chunk({"role": "assistant", "content": ""})
        if self._submission.result is not None:
            yield self._end(Finished(self._submission.result))
            return
        follower = asyncio.create_task(self._follow())
        try:
            while True:
                try:
                    event = await asyncio.wait_for(self._events.get(), self._heartbeat_seconds)
                except TimeoutError:
                    yield HEARTBEAT
                    continue
                if isinstance(event, Finished | Drain):
                    yield self._end(event)
                    return
                if isinstance(event, Delta):
                    yield self._text(event.text)
                elif isinstance(event, Reset):
                    self._begins_anew = self._begins_anew or bool(self._shown)
                    self._shown = ""
        finally:
            follower.cancel()

    async def _follow(self) -> None:
        last: TurnEvent | None = None
        try:
            async for _, last in self._turns.events(self._tenant, self._submission.turn_id):
                self._events.put_nowait(last)
        except Exception as exc:  # the reader must get an end, whatever became of the events
            self._log.warning("stream.broken", turn_id=self._submission.turn_id, error=type(exc).__name__)
            self._events.put_nowait(Finished(None, exc))
        else:
            if not isinstance(last, Finished | Drain):
                self._events.put_nowait(Finished(None))

    def _end(self, end: Finished | Drain) -> bytes:
        if isinstance(end, Drain) or end.result is None:
            cause = end.error if isinstance(end, Finished) else None
            exc = cause if isinstance(cause, CarelineError) else DependencyUnavailable("turn")
            return b"data: %s\n\n" % orjson.dumps(error_document(problem_of(exc)))
        return self._rest(end.result) + self._chunk({}, finish="stop") + self._usage(end.result) + _DONE

    def _usage(self, result: TurnResult) -> bytes:
        if not self._tells_usage or result.usage is None:
            return b""
        return self._written({"choices": [], "usage": written_usage(result.usage)})

    def _rest(self, result: TurnResult) -> bytes:
        """What of the answer no event brought."""
        text = result.reply.text if result.reply is not None else ""
        if text == self._shown:
            return b""
        if not text.startswith(self._shown):
            self._begins_anew = True
            self._shown = ""
        return self._text(text[len(self._shown) :])

    def _text(self, text: str) -> bytes:
        before = "\n\n" if self._begins_anew else ""
        self._begins_anew = False
        self._shown += text
        return self._chunk({"content": before + text})

    def _chunk(self, delta: dict[str, str], *, finish: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": finish, "logprobs": None}
        return self._written({"choices": [choice]} | ({"usage": None} if self._tells_usage else {}))

    def _written(self, fields: dict[str, Any]) -> bytes:
        chunk = {**self._heading.fields("chat.completion.chunk"), **fields}
        return b"data: %s\n\n" % orjson.dumps(chunk)
